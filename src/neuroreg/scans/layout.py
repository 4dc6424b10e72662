"""What the lab's layouts have in common: which columns and arrays there are, and how they make a scan."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.scans.images import DistinctImages
from neuroreg.scans.scan import TIERS, UNKNOWN, Scan

# Files of different years name the columns differently; the first one present counts.
ID_COLUMNS = ("image_id", "colorframeprojector_image_id", "frame_image_id")
CLASS_COLUMNS = ("image_class", "colorframeprojector_image_class", "frame_image_class")


def find_column(aliases: tuple[str, ...], pattern: str, kind: str, exists: Callable[[str], bool]) -> str:
    """Return the first of `aliases` that exists, put in the place of ``*`` in `pattern`.

    Parameters
    ----------
    aliases
        Names of the column, e.g. `ID_COLUMNS`.
    pattern
        Where columns stand in the layout, e.g. ``item_info/*``.
    kind
        What a column is there, for the message, e.g. ``dataset``.
    exists
        Says whether the layout has a column at a place.

    Raises
    ------
    InputError
        If none of them exists.
    """
    for alias in aliases:
        if exists(pattern.replace("*", alias)):
            return pattern.replace("*", alias)
    first, *others = aliases
    raise InputError(f"no {kind} '{pattern.replace('*', first)}'; expected it or {' or '.join(others)}.")


def texts(values: np.ndarray, name: str) -> np.ndarray:
    """Return bytes (UTF-8), strings of any storage or whole numbers as an array of str, shape as given.

    Parameters
    ----------
    values
        dtype S, U, object (bytes or str), or an integer.
    name
        What holds them, for the message, e.g. ``dataset 'tiers'``.

    Raises
    ------
    InputError
        If bytes are not UTF-8, or for another dtype: 12.0 is not the image that 12 is.
    """
    if values.dtype.kind not in "SUOiu":
        raise InputError(f"{name} holds {values.dtype}; expected text or whole numbers.")
    if values.dtype.kind in "SO":
        try:
            values = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is not UTF-8; expected text.") from error
    return np.asarray(values).astype(np.str_)


def image_keys(classes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the keys ``class/id``, str (T,), of two columns of str."""
    return np.array([f"{c}/{i}" for c, i in zip(classes, ids, strict=True)], dtype=np.str_)


logger = logging.getLogger(__name__)


class Layout(ABC):
    """A scan of the lab, whose arrays are read by their names.

    Attributes
    ----------
    holder
        What holds an array, for messages: ``dataset`` or ``file``.
    tiers
        Name of the column of tiers.
    trial_columns, neuron_columns
        Where the other columns over trials and over neurons stand, e.g. ``item_info/*``.
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
    def rows(self, kind: str, trials: np.ndarray, length: int | None) -> np.ndarray:
        """Return what some trials have of a kind, finite, float32 (T, length); any length if None."""

    @abstractmethod
    def image_blocks(self, trials: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the trials, int (B,), and their pixels, numbers (B, 36 f, 64 f), block after block."""

    def column(self, name: str) -> np.ndarray:
        """Return a column as text, str (T,) or (N,)."""
        values = self.load(name)
        if values.ndim != 1:
            raise InputError(f"{self.holder} '{name}' has shape {values.shape}; expected one dimension.")
        return texts(values, f"{self.holder} '{name}'")


def read_layout(layout: Layout, path: str | Path) -> Scan:
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

    Raises
    ------
    InputError
        If something else is missing, damaged, out of place (NaN, gray level outside 0..255) or of another
        shape, or if one key stands for images with different pixels.
    """
    tiers = layout.column(layout.tiers)
    layout.check(len(tiers))
    classes, ids = (
        layout.column(find_column(aliases, layout.trial_columns, layout.holder, layout.__contains__))
        for aliases in (CLASS_COLUMNS, ID_COLUMNS)
    )
    if not len(classes) == len(ids) == len(tiers):
        raise InputError(
            f"'{layout.tiers}' has {len(tiers)} entries, the images' class {len(classes)} and id {len(ids)}; "
            f"expected equally many."
        )
    known = _known_tiers(tiers, layout.tiers, path)
    trials = np.flatnonzero(known)
    key, image = np.unique(image_keys(classes, ids)[trials], return_inverse=True)
    unit_id = _unit_ids(layout)
    responses = layout.rows("responses", trials, None if unit_id is None else len(unit_id))
    neurons = responses.shape[1]
    if not neurons:
        raise InputError("no neuron in the responses; expected at least 1.")
    if unit_id is None:
        logger.warning("%s: no unit ids; neurons are numbered 1 to %d", path, neurons)
        unit_id = np.arange(1, neurons + 1, dtype=np.int64)
    return Scan(
        images=_distinct_images(layout, key, image, trials),
        key=key,
        image=image.astype(np.int64),
        tier=tiers[trials],
        responses=responses,
        behavior=_covariate(layout, "behavior", trials, None, path),
        pupil_center=_covariate(layout, "pupil_center", trials, 2, path),
        unit_id=unit_id,
        area=_labels(layout, "area", neurons),
        layer=_labels(layout, "layer", neurons),
        left_out=tiers[~known],
    )


def _known_tiers(tiers: np.ndarray, column: str, path: str | Path) -> np.ndarray:
    known = np.isin(tiers, TIERS)
    names, counts = np.unique(tiers[~known], return_counts=True)
    for name, count in zip(names, counts, strict=True):
        logger.warning("%s: tier '%s' left out, %d trials; not train, validation or test", path, name, count)
    if not known.any():
        found = f"only tiers {', '.join(names)}" if len(names) else "no trials"
        raise InputError(f"'{column}' has {found}; expected train, validation or test.")
    return known


def _unit_ids(layout: Layout) -> np.ndarray | None:
    name = layout.neuron_columns.replace("*", "unit_ids")
    if name not in layout:
        return None
    values = layout.load(name)
    if values.dtype.kind not in "iu" or values.ndim != 1 or not len(values):
        raise InputError(
            f"'{name}' holds {values.dtype} {values.shape}; expected one whole number per neuron."
        )
    return values.astype(np.int64)


def _labels(layout: Layout, column: str, neurons: int) -> np.ndarray | None:
    name = layout.neuron_columns.replace("*", column)
    if name not in layout:
        return None
    values = layout.column(name)
    if len(values) != neurons:
        raise InputError(f"'{name}' has {len(values)} entries; expected one for each of {neurons} neurons.")
    return np.where(values == "", UNKNOWN, values)


def _covariate(
    layout: Layout, kind: str, trials: np.ndarray, length: int | None, path: str | Path
) -> np.ndarray:
    if not layout.has(kind):
        # To the response model a constant, or no column at all, tells nothing.
        logger.warning("%s: no %s; predictions will not depend on it", path, kind)
        return np.zeros((len(trials), length or 0), np.float32)
    values = layout.rows(kind, trials, length)
    if values.size and not values.any():
        logger.warning("%s: %s is exactly 0 in all trials, so withheld", path, kind)
    return values


def _distinct_images(layout: Layout, key: np.ndarray, image: np.ndarray, trials: np.ndarray) -> np.ndarray:
    images = DistinctImages(key)
    index = dict(zip(trials.tolist(), image.tolist(), strict=True))
    for shown, pixels in layout.image_blocks(trials):
        images.add([index[trial] for trial in shown.tolist()], pixels, shown)
    return images.collected()
