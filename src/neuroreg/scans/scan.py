"""One scan: what was shown, what the neurons answered, what the animal did meanwhile."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.storage import open_h5, read_strings, write_h5

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

    Raises
    ------
    InputError
        If the arrays do not fit this description or hold values that are not finite.
    """

    images: np.ndarray
    key: np.ndarray
    image: np.ndarray
    tier: np.ndarray
    responses: np.ndarray
    behavior: np.ndarray
    pupil_center: np.ndarray
    unit_id: np.ndarray
    area: np.ndarray | None = None
    layer: np.ndarray | None = None
    left_out: np.ndarray | None = None

    def __post_init__(self):
        count, trials, neurons = len(self.images), len(self.image), len(self.unit_id)
        for name in ("area", "layer"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(neurons, UNKNOWN))
        if self.left_out is None:
            object.__setattr__(self, "left_out", np.empty(0, np.str_))
        behaviors = self.behavior.shape[1] if self.behavior.ndim == 2 else 3
        self._expect("images", "uint8", (count, *STIMULUS_SHAPE))
        self._expect("key", "str", (count,))
        self._expect("image", "int64", (trials,))
        self._expect("tier", "str", (trials,))
        self._expect("responses", "float32", (trials, neurons))
        self._expect("behavior", "float32", (trials, behaviors))
        self._expect("pupil_center", "float32", (trials, 2))
        self._expect("unit_id", "int64", (neurons,))
        self._expect("area", "str", (neurons,))
        self._expect("layer", "str", (neurons,))
        self._expect("left_out", "str", (len(self.left_out),))
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

    def _expect(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        values = getattr(self, name)
        found = "str" if values.dtype.kind == "U" else values.dtype.name
        if found != dtype or values.shape != shape:
            raise InputError(f"scan: {name} {found} {values.shape}; expected {dtype} {shape}.")

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


def refuse_non_finite(name: str, values: np.ndarray, trials: Sequence[int]) -> None:
    """Check that an array with one row per trial holds neither NaN nor infinities.

    Parameters
    ----------
    name
        What the values are, for the message.
    values
        float (T, ...).
    trials
        Numbers of the T trials, for the message.

    Raises
    ------
    InputError
        If it does, with how many and the first trial.
    """
    # NaN and infinities show in the extremes, which need no mask as large as the array.
    if not values.size or (np.isfinite(values.min()) and np.isfinite(values.max())):
        return
    bad = ~np.isfinite(values)
    trial = trials[int(np.flatnonzero(bad.any(axis=1))[0])]
    raise InputError(
        f"{name} holds {int(bad.sum())} values that are NaN or infinite, "
        f"the first in trial {trial}; expected finite values."
    )


# Where each field of a Scan stands in the file.
_DATASETS = {
    "images": "images",
    "key": "key",
    "image": "trials/image",
    "tier": "trials/tier",
    "responses": "trials/responses",
    "behavior": "trials/behavior",
    "pupil_center": "trials/pupil_center",
    "left_out": "trials/left_out",
    "unit_id": "neurons/unit_id",
    "area": "neurons/area",
    "layer": "neurons/layer",
}
_TEXTS = ("key", "tier", "left_out", "area", "layer")


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
            raise InputError(f"scan: {len(trials)} trials of tier '{tier}'; expected at least 2.")
    return train, validation


def save_scan(
    path: str | Path, scan: Scan, *, config: Mapping | None = None, inputs: Iterable[str | Path] = ()
) -> None:
    """Write a scan to one HDF5 file of kind ``scan``; `config` and `inputs` as in `storage.write_h5`."""
    datasets = {dataset: getattr(scan, field) for field, dataset in _DATASETS.items()}
    write_h5(path, "scan", datasets, config=config, inputs=inputs)


def load_scan(path: str | Path) -> Scan:
    """Return the scan of a file written by `save_scan`.

    Raises
    ------
    InputError
        If the file is missing, of another kind, or its content does not fit.
    """
    with open_h5(path, "scan") as file:
        missing = [dataset for dataset in _DATASETS.values() if dataset not in file]
        if missing:
            raise InputError(f"{path}: no dataset '{missing[0]}'; expected {', '.join(_DATASETS.values())}.")
        arrays = {
            field: read_strings(file[dataset]) if field in _TEXTS else file[dataset][()]
            for field, dataset in _DATASETS.items()
        }
    try:
        return Scan(**arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
