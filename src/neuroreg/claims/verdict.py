"""A claim of the paper, what is measured of it, and the verdict that follows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neuroreg.analysis.intervals import Interval

# Of the supplement, and of the main text.
FIG_1, TABLE_1, FIG_2 = "Fig. 1", "Table 1", "Fig. 2"
NOISE, MEDIANS = "noise (main text)", "medians (main text)"
PLACES = (FIG_1, TABLE_1, FIG_2, NOISE, MEDIANS)
REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"


class NotTestable(Exception):
    """What a test needs is not there; the message says what."""


def model_of(conditions: Mapping[str, str], name: str) -> str:
    """Return the model of a condition; raise `NotTestable` if there is none."""
    if name not in conditions:
        raise NotTestable(f"no model of the condition {name} in conditions.models")
    return conditions[name]


def require_cifar10(classified: str) -> None:
    """Raise `NotTestable` if a number that the paper has of CIFAR-10 would be held against other images.

    Parameters
    ----------
    classified
        The config's ``classification.source``. A folder of images may be of CIFAR-10.
    """
    if classified not in ("cifar10", "image_folder"):
        raise NotTestable(f"the paper's number is of CIFAR-10, not of {classified.replace('_', ' ')}")


@dataclass(frozen=True)
class Region:
    """The values of a statistic for which a claim holds: above `low` and below `high`."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"> {self.low:.3g}"
        return f"< {self.high:.3g}" if math.isinf(self.low) else f"{self.low:.3g} to {self.high:.3g}"


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes
    ----------
    name
        Short and unique, for looking it up.
    sentence
        The claim.
    statistic
        What is computed to test it.
    region
        Where the statistic lies if the claim holds.
    paper
        What the paper found, in words or figures.
    place
        Where the paper says so, one of `PLACES`.
    """

    name: str
    sentence: str
    statistic: str
    region: Region
    paper: str
    place: str


@dataclass(frozen=True)
class Measured:
    """What was found of a claim's statistic: its interval, the numbers behind it, and a remark.

    `bound`, if there is one, is the interval under a second reading of the data; a claim is decided only if
    both agree.
    """

    interval: Interval
    seeds: int | None
    samples: int | None = None
    note: str = ""
    bound: Interval | None = None


def joined(*notes: str) -> str:
    """Return remarks as one, those that are empty left out."""
    return "; ".join(filter(None, notes))


def verdict(interval: Interval, region: Region) -> str:
    """Return the verdict: reproduced if the interval lies in the region, not if outside, else undecided."""
    low, high = interval.low, interval.high
    if math.isnan(low) or math.isnan(high):
        return UNDECIDED
    if low > region.low and high < region.high:
        return REPRODUCED
    return NOT_REPRODUCED if high <= region.low or low >= region.high else UNDECIDED


def judge(claim: Claim, measure: Callable[[], Measured]) -> dict:
    """Return a claim's row of the table, undecided and with the reason if `measure` raises `NotTestable`."""
    try:
        found = measure()
    except NotTestable as reason:
        found = Measured(Interval(math.nan, math.nan, math.nan), None, None, str(reason))
    note = found.note
    decided = verdict(found.interval, claim.region)
    if found.bound and verdict(found.bound, claim.region) != decided:
        decided = UNDECIDED
    bound = found.bound or Interval(math.nan, math.nan, math.nan)
    if found.seeds == 1 and math.isnan(found.interval.low):
        note = joined("one seed: no interval", note)
    elif found.seeds and math.isnan(found.interval.low):
        note = joined("no interval: what is compared is 0, or not known, for a model", note)
    if found.seeds == 2 and not math.isnan(found.interval.freedom):
        few = f"two seeds: the interval rests on {found.interval.freedom:.2g} degrees of freedom"
        note = joined(few, note)
    return {
        "claim": claim.name,
        "place": claim.place,
        "sentence": claim.sentence,
        "statistic": claim.statistic,
        "estimate": found.interval.estimate,
        "low": found.interval.low,
        "high": found.interval.high,
        "freedom": found.interval.freedom,
        "bound": bound.estimate,
        "bound_low": bound.low,
        "bound_high": bound.high,
        "holds_if": str(claim.region),
        "paper": claim.paper,
        "verdict": decided,
        "seeds": found.seeds,
        "samples": found.samples,
        "note": note,
    }
