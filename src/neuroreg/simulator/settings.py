"""What simulated scans have in common."""

from itertools import count
from typing import Annotated

from pydantic import Field, model_validator

from neuroreg.settings import Settings, problem, show

VALIDATION_FRACTION = 0.1
"""Share of the pool images whose trials are the validation tier."""
FEWEST_OF_TIER = 2
"""Trials of train and of validation that no dropping takes: a fit needs them."""
FEWEST_POOL = next(pool for pool in count() if round(VALIDATION_FRACTION * pool) >= FEWEST_OF_TIER)
"""Pool images with which a simulated scan always has these; nine of ten are train."""
LARGEST_LEVEL = 100.0
"""Of noise. At this private level more than half of the responses are exactly 0 in single precision, at a
hundred times it nearly all; calibration searches up to 55."""


class SimulatorSettings(Settings):
    """What simulated scans have in common."""

    oracle_repeats: Annotated[int, Field(ge=2)] = 10
    """Presentations of each oracle image; other images are shown once."""
    single_trial_similarity: Annotated[float, Field(gt=0, lt=1)] | None = 0.39
    """Noise is set, scan by scan, so that similarities of single trials correlate this well with those
    averaged over the other repeats (0.39 in the paper), with the defaults of reliability whatever it says."""
    mean_oracle: Annotated[float, Field(gt=0, lt=1)] | None = 0.35
    """Noise is set, scan by scan, so that neurons' oracle correlations (of a trial with the mean of the
    image's other trials) have this mean, as in recordings. The two targets decide how much noise is private
    and how much neurons share."""
    noise: Annotated[float, Field(ge=0, le=LARGEST_LEVEL)] | None = None
    """Instead of one target or both, a fixed level of private noise: the variance of a weak response over its
    mean; 0 is no such noise. Of the two targets and the two levels, two are numbers and two null."""
    shared_noise: Annotated[float, Field(ge=0, le=LARGEST_LEVEL)] | None = None
    """A fixed level of the noise that neurons share: its variance over that of their mean responses to
    images."""
    dropped_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of trials left out at random, as recorded scans lack those with missing covariates; two of each
    of the train and validation tiers stay."""

    @model_validator(mode="after")
    def _two_of_four(self) -> "SimulatorSettings":
        names = ("single_trial_similarity", "mean_oracle", "noise", "shared_noise")
        values = {name: getattr(self, name) for name in names}
        if sum(value is not None for value in values.values()) != 2:
            found = ", ".join(f"{name} {show(value)}" for name, value in values.items())
            raise problem(f"found {found}; expected two numbers and null for the others.", "noise")
        return self
