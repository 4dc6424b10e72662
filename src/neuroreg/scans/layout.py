"""What the lab's layouts have in common: which columns and arrays there are, and how they make a scan."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.scans.missing import Missing, scan_without_missing
from neuroreg.scans.scan import STIMULUS_SHAPE, TIERS, UNKNOWN, Scan

logger = logging.getLogger(__name__)
DROPPING = ", or config key 'missing' to drop trials or neurons with NaN"
# Files of different years name the columns differently; the first one present counts.
_CLASS_COLUMNS = ("image_class", "colorframeprojector_image_class", "frame_image_class")
_ID_COLUMNS = ("image_id", "colorframeprojector_image_id", "frame_image_id")


class Layout(ABC):
    """A scan of the lab, whose arrays are read by their names.

    Attributes
    ----------
    holder
        What holds an array, for messages: ``dataset`` or ``file``.
    tiers
        Name of the column of tiers.
    trial_columns, neuron_columns
        Where the other columns over trials and over neurons stand, e.g. ``item_info/{}``.
    """

    holder: str
    tiers: str
    trial_columns: str
    neuron_columns: str

    @abstractmethod
    def __contains__(self, name: str) -> bool:
        """Say whether there is an array of this name."""

    @abstractmethod
    def load(self, name: str) -> np.ndarray:
        """Return an array as it is stored; `InputError` if it is missing or damaged."""

    @abstractmethod
    def check(self, trials: int) -> None:
        """Raise `InputError` unless there are images and responses, and all there is fits so many trials."""

    @abstractmethod
    def has(self, kind: str) -> bool:
        """Say whether trials have a ``behavior`` or ``pupil_center``."""

    @abstractmethod
    def rows(self, kind: str, trials: np.ndarray, length: int | None, gaps: bool) -> np.ndarray:
        """Return what some trials have of a kind, float32 (T, length), any length if None; finite but for NaN
        where there may be `gaps`."""

    @abstractmethod
    def image_blocks(self, trials: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of `trials` and the pixels that these show, numbers (B, 36 f, 64 f), in order."""

    def column(self, name: str) -> np.ndarray:
        """Return a column of bytes (UTF-8), strings of any storage or whole numbers as str, (T,) or (N,).

        Blanks and zero bytes at the ends of texts are no part of them.
        """
        values, what = self.load(name), f"{self.holder} '{name}'"
        if values.ndim != 1:
            raise InputError(f"{what} has shape {values.shape}; expected one dimension.")
        if values.dtype.kind not in "SUOiu":  # 12.0 is not the image that 12 is
            raise InputError(f"{what} holds {values.dtype}; expected text or whole numbers.")
        if values.dtype.kind in "SO":
            for other in {type(v) for v in values} - {bytes, str, np.bytes_, np.str_}:
                kind = "references" if other.__module__.startswith("h5py") else other.__name__
                raise InputError(f"{what} holds {kind}; expected text or whole numbers.")
            try:
                values = [v.decode() if isinstance(v, bytes) else str(v) for v in values]  # type: ignore[assignment]
            except UnicodeDecodeError as error:
                raise InputError(f"{what} is not UTF-8; expected text.") from error
        # Some programs fill texts up with blanks or zero bytes.
        texts = np.char.strip(np.asarray(values).astype(np.str_), " \t\r\n\0")
        within = next((text for text in texts.tolist() if "\0" in text), None)
        if within is not None:
            raise InputError(f"{what} holds {within!r}, with a zero byte in it; expected plain text.")
        return texts

    def trial_column(self, aliases: Sequence[str]) -> np.ndarray:
        """Return the first column over trials, str (T,), that has one of these names."""
        for alias in aliases:
            if (name := self.trial_columns.format(alias)) in self:
                return self.column(name)
        missing = self.trial_columns.format(aliases[0])
        raise InputError(f"no {self.holder} '{missing}'; expected it or {' or '.join(aliases[1:])}.")


def read_layout(layout: Layout, path: str | Path, missing: Missing = "refuse") -> Scan:
    """Return the scan in a layout.

    Trials of a tier other than train, validation and test (``final_test`` of the Sensorium competition, whose
    responses are withheld) are left out. An image is kept once, under the key ``class/id``, and the images
    are sorted by key. What the source lacks and can do without is filled in: without behavior, B = 0; without
    pupil_center, zeros; without unit ids, 1 to N; without area or layer, ``unknown``. All of this is logged.

    Parameters
    ----------
    layout
        The opened layout.
    path
        Where it is, for the log.
    missing
        What becomes of NaN in responses, behaviour and pupil position, see
        `neuroreg.scans.missing.scan_without_missing`.

    Raises
    ------
    InputError
        If something else is missing, damaged, out of place (NaN, gray level outside 0..255) or of another
        shape, or if one key stands for images with different pixels.
    """
    tiers = layout.column(layout.tiers)
    layout.check(len(tiers))
    keys = _keys(layout, len(tiers))
    known = _known_tiers(tiers, layout.tiers, path)
    trials = np.flatnonzero(known)
    key, image = np.unique(keys[trials], return_inverse=True)
    unit_id = _unit_ids(layout)
    gaps = missing != "refuse"
    responses = layout.rows("responses", trials, None if unit_id is None else len(unit_id), gaps)
    neurons = responses.shape[1]
    if not neurons:
        raise InputError("no neuron in the responses; expected at least 1.")
    if unit_id is None:
        logger.info("%s: no unit ids; neurons are numbered 1 to %d", path, neurons)
        unit_id = np.arange(1, neurons + 1, dtype=np.int64)
    return scan_without_missing(
        missing,
        images=_distinct_images(layout, key, image, trials),
        key=key,
        image=image.astype(np.int64),
        tier=tiers[trials],
        responses=responses,
        behavior=_covariate(layout, "behavior", trials, None, gaps, path),
        pupil_center=_covariate(layout, "pupil_center", trials, 2, gaps, path),
        unit_id=unit_id,
        area=_labels(layout, "area", neurons),
        layer=_labels(layout, "layer", neurons),
        left_out=tiers[~known],
    )


def _keys(layout: Layout, trials: int) -> np.ndarray:
    """Return the key ``class/id`` of the image that each trial shows, str (T,)."""
    classes, ids = layout.trial_column(_CLASS_COLUMNS), layout.trial_column(_ID_COLUMNS)
    if not len(classes) == len(ids) == trials:
        raise InputError(
            f"'{layout.tiers}' has {trials} entries, the images' class {len(classes)} and id {len(ids)}; "
            f"expected equally many."
        )
    return np.array([f"{c}/{i}" for c, i in zip(classes, ids, strict=True)], dtype=np.str_)


def _known_tiers(tiers: np.ndarray, column: str, path: str | Path) -> np.ndarray:
    known = np.isin(tiers, TIERS)
    names, counts = np.unique(tiers[~known], return_counts=True)
    for name, count in zip(names, counts, strict=True):
        logger.warning("%s: tier '%s' left out, %d trials; not train, validation or test", path, name, count)
    if not known.any():
        found = "only tiers " + ", ".join(f"'{name}'" for name in names) if len(names) else "no trials"
        raise InputError(f"'{column}' has {found}; expected train, validation or test.")
    return known


def _unit_ids(layout: Layout) -> np.ndarray | None:
    name = layout.neuron_columns.format("unit_ids")
    if name not in layout:
        return None
    values = layout.load(name)
    if values.dtype.kind not in "iu" or values.ndim != 1 or not len(values):
        raise InputError(
            f"'{name}' holds {values.dtype} {values.shape}; expected one whole number per neuron."
        )
    if values.max() > np.iinfo(np.int64).max:
        raise InputError(f"'{name}' holds {values.max()}; expected at most {np.iinfo(np.int64).max}.")
    return values.astype(np.int64)


def _labels(layout: Layout, column: str, neurons: int) -> np.ndarray | None:
    name = layout.neuron_columns.format(column)
    if name not in layout:
        return None
    values = layout.column(name)
    if len(values) != neurons:
        raise InputError(f"'{name}' has {len(values)} entries; expected one for each of {neurons} neurons.")
    return np.where(values == "", UNKNOWN, values)


def _covariate(
    layout: Layout, kind: str, trials: np.ndarray, length: int | None, gaps: bool, path: str | Path
) -> np.ndarray:
    if not layout.has(kind):
        # To the response model a constant, or no column at all, tells nothing.
        logger.warning("%s: no %s; predictions will not depend on it", path, kind)
        return np.zeros((len(trials), length or 0), np.float32)
    values = layout.rows(kind, trials, length, gaps)
    if values.size and not values.any():
        logger.warning("%s: %s is exactly 0 in all trials, so withheld", path, kind)
    return values


def expect_image_shape(shape: tuple[int, ...], name: str) -> None:
    """Raise `InputError` about `name` unless an image has shape (1, 36 f, 64 f) for a whole number f >= 1."""
    factor = shape[1] // STIMULUS_SHAPE[0] if len(shape) == 3 else 0
    fits = factor >= 1 and shape[1:] == tuple(factor * side for side in STIMULUS_SHAPE)
    if fits and shape[0] > 1:
        raise InputError(
            f"{name} has {shape[0]} channels, so the scan was made with colored images (as in Franke 2022); "
            f"expected 1 channel of gray levels."
        )
    if not (fits and shape[0] == 1):
        rows, columns = STIMULUS_SHAPE
        raise InputError(
            f"{name}: an image has shape {shape}; expected (1, {rows}, {columns}), or both of its sides a "
            "whole number of times as long."
        )


def _distinct_images(layout: Layout, key: np.ndarray, image: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Return each key's image, uint8 (I, 36, 64); `image` (T,) says which one each of `trials` shows."""
    images = np.empty((len(key), *STIMULUS_SHAPE), np.uint8)
    seen = np.zeros(len(key), np.bool_)
    brightest = 0.0
    for block, pixels in layout.image_blocks(trials):
        _refuse_other_levels(pixels, trials[block])
        brightest = max(brightest, float(pixels.max()))
        levels = np.clip(np.rint(_area_means(pixels)), 0, 255).astype(np.uint8)
        for i, shown, trial in zip(image[block], levels, trials[block], strict=True):
            if not seen[i]:
                images[i], seen[i] = shown, True
            elif not np.array_equal(images[i], shown):
                raise InputError(
                    f"key '{key[i]}' has other pixels in trial {trial} than before; "
                    f"expected one image per key."
                )
    if brightest <= 1:  # the source has its gray levels on another scale
        raise InputError(f"images reach {brightest:g} at most; expected gray levels 0 to 255.")
    return images


def _refuse_other_levels(pixels: np.ndarray, trials: np.ndarray) -> None:
    if _are_gray_levels(pixels):
        return
    image, trial = next(pair for pair in zip(pixels, trials, strict=True) if not _are_gray_levels(pair[0]))
    raise InputError(
        f"the image of trial {trial} holds values from {image.min():g} to {image.max():g}; "
        f"expected gray levels 0 to 255."
    )


def _are_gray_levels(pixels: np.ndarray) -> bool:
    return bool(pixels.min() >= -0.5 and pixels.max() <= 255.5)  # False for NaN


def _area_means(pixels: np.ndarray) -> np.ndarray:
    """Return the means of blocks of pixels, float32 (B, 36, 64)."""
    factor = pixels.shape[1] // STIMULUS_SHAPE[0]
    pixels = pixels.astype(np.float32, copy=False)
    # A sum of slices takes a tenth of the time of a mean over two axes.
    wide = sum(pixels[:, row::factor] for row in range(factor))
    return sum(wide[..., column::factor] for column in range(factor)) / np.float32(factor**2)  # type: ignore[index, misc, return-value]
