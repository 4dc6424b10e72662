"""One scan: what was shown, what the neurons answered, what the animal did meanwhile."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.records import check_record, dataset

TIERS = ("train", "validation", "test")
STIMULUS_SHAPE = (36, 64)
"""Rows and columns of every image shown to an animal or a model of one."""
UNKNOWN = "unknown"
"""Area or layer of a neuron whose source does not tell."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Responses of N neurons in T trials, each of which showed one of I images.

    Parameters
    ----------
    images
        uint8 (I, 36, 64), gray levels 0..255.
    key
        str (I,), ``class/id``, all different: the same key is the same image in every scan.
    image
        int64 (T,), the index into `images` of what was shown.
    tier
        str (T,), each ``train``, ``validation`` or ``test``. Images of the test tier may be repeated, not
        necessarily equally often: trials with missing covariates are dropped.
    responses
        float32 (T, N), in the units of the source.
    behavior
        float32 (T, B), usually pupil size, its change and running speed.
    pupil_center
        float32 (T, 2), in the units of the source.
    unit_id
        int64 (N,), the source's name of each neuron, all different.
    area, layer
        str (N,), where each neuron is, e.g. ``V1`` and ``L2/3``; by default ``unknown``.
    left_out
        str (L,), the tiers of the source's trials that are not among these T, e.g. ``final_test``; by default
        there are none.
    missing_tier
        str (M,), the tiers of the trials that were dropped because values are missing, see
        `neuroreg.scans.missing`; by default there are none.
    missing_unit
        int64 (K,), the names of the neurons that were dropped for that; by default there are none.

    Raises
    ------
    InputError
        If the arrays do not fit this description or hold values that are not finite.
    """

    KIND = "scan"

    images: np.ndarray = dataset("images", np.uint8, "I", *STIMULUS_SHAPE)
    key: np.ndarray = dataset("key", np.str_, "I")
    image: np.ndarray = dataset("trials/image", np.int64, "T")
    tier: np.ndarray = dataset("trials/tier", np.str_, "T")
    responses: np.ndarray = dataset("trials/responses", np.float32, "T", "N")
    behavior: np.ndarray = dataset("trials/behavior", np.float32, "T", "B")
    pupil_center: np.ndarray = dataset("trials/pupil_center", np.float32, "T", 2)
    left_out: np.ndarray | None = dataset("trials/left_out", np.str_, "L", default=None, kw_only=True)
    missing_tier: np.ndarray | None = dataset("trials/missing_tier", np.str_, "M", default=None, kw_only=True)
    missing_unit: np.ndarray | None = dataset(
        "neurons/missing_unit", np.int64, "K", default=None, kw_only=True
    )
    unit_id: np.ndarray = dataset("neurons/unit_id", np.int64, "N")
    area: np.ndarray | None = dataset("neurons/area", np.str_, "N", default=None)
    layer: np.ndarray | None = dataset("neurons/layer", np.str_, "N", default=None)

    def __post_init__(self):
        count, trials, neurons = len(self.images), len(self.image), len(self.unit_id)
        for name in ("area", "layer"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(neurons, UNKNOWN))
        for name, kind in (("left_out", np.str_), ("missing_tier", np.str_), ("missing_unit", np.int64)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.empty(0, kind))
        check_record(self)
        for name in ("responses", "behavior", "pupil_center"):
            refuse_non_finite(f"scan: {name}", getattr(self, name), range(trials))
        for name in ("key", "unit_id"):
            values, times = np.unique(getattr(self, name), return_counts=True)
            if (times > 1).any():
                raise InputError(
                    f"scan: {name} '{values[times > 1][0]}' found twice; expected different values."
                )
        if trials and (self.image.min() < 0 or self.image.max() >= count):
            raise InputError(
                f"scan: image indices {self.image.min()} to {self.image.max()}; expected 0 to {count - 1}."
            )
        unknown = sorted(set(np.unique(self.tier)) - set(TIERS))
        if unknown:
            raise InputError(f"scan: tier '{unknown[0]}'; expected train, validation or test.")

    def withheld_tiers(self) -> tuple[str, ...]:
        """Return the tiers with trials whose responses are all exactly 0: measured, but not published."""
        return tuple(tier for tier in TIERS if self._is_withheld(tier))

    def _is_withheld(self, tier: str) -> bool:
        trials = np.flatnonzero(self.tier == tier)
        return len(trials) > 0 and not any(self.responses[t].any() for t in trials)

    def trials_of(self, tier: str) -> np.ndarray:
        """Return the indices of a tier's trials, int64, ascending; empty if the scan has none.

        Raises
        ------
        InputError
            If the tier is unknown or its responses are withheld.
        """
        if tier not in TIERS:
            raise InputError(f"scan: tier '{tier}'; expected train, validation or test.")
        if self._is_withheld(tier):
            raise InputError(
                f"scan: tier '{tier}' is withheld (all its responses are exactly 0); "
                f"expected measured responses."
            )
        return np.flatnonzero(self.tier == tier)

    def repeated_images(self) -> np.ndarray:
        """Return the images shown more than once in the test tier, int64, ascending, withheld or not."""
        return np.flatnonzero(np.bincount(self.image[self.tier == "test"], minlength=len(self.images)) > 1)

    def oracle_trials(self) -> dict[int, np.ndarray]:
        """Return, for each image repeated in the test tier, the indices of its test trials.

        Returns
        -------
        dict
            Image index to int64 (R,) with R >= 2, which may differ from image to image; both ascending.

        Raises
        ------
        InputError
            If the test tier's responses are withheld.
        """
        trials = self.trials_of("test")
        shown = self.image[trials]
        return {int(image): trials[shown == image] for image in self.repeated_images()}


def refuse_non_finite(
    name: str, values: np.ndarray, trials: Sequence[int], *, gaps: bool = False, hint: str = ""
) -> None:
    """Check that an array with one row per trial holds neither NaN nor infinities.

    Parameters
    ----------
    name
        What the values are, for the message.
    values
        float (T, ...).
    trials
        Numbers of the T trials, for the message.
    gaps
        Whether NaN passes: values that are missing.
    hint
        What else the message says where NaN is refused.

    Raises
    ------
    InputError
        If it does, with how many and the first trial.
    """
    # NaN and infinities show in the extremes, which need no mask as large as the array.
    if not values.size or (np.isfinite(values.min()) and np.isfinite(values.max())):
        return
    bad = np.isinf(values) if gaps else ~np.isfinite(values)
    if not bad.any():
        return
    hint = "" if gaps or not np.isnan(values).any() else hint
    trial = trials[int(np.flatnonzero(bad.any(axis=1))[0])]
    raise InputError(
        f"{name} holds {int(bad.sum())} values that are NaN or infinite, "
        f"the first in trial {trial}; expected finite values{hint}."
    )


def usable_trials(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of a scan's training and of its validation trials, with which a model is fitted.

    Raises
    ------
    InputError
        If there are fewer than two of either, or they are withheld.
    """
    train, validation = scan.trials_of("train"), scan.trials_of("validation")
    for tier, trials in (("train", train), ("validation", validation)):
        if len(trials) < 2:
            there = ", ".join(f"{one} {(scan.tier == one).sum()}" for one in TIERS)
            others = Counter(scan.left_out.tolist())  # type: ignore[union-attr]
            left_out = ", ".join(f"'{one}' {count}" for one, count in others.items())
            raise InputError(
                f"scan: {len(trials)} trials of tier '{tier}' that can be used, of {there}; left out: "
                f"{left_out or 'none'}; expected at least 2."
            )
    return train, validation
