"""Reader of the lab's FileTree layout: one .npy file per trial and kind, in a folder or in a zip."""

import io
import logging
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.file_kinds import head, is_zip
from neuroreg.scans.columns import CLASS_COLUMNS, ID_COLUMNS, find_column, image_keys, texts
from neuroreg.scans.images import DistinctImages
from neuroreg.scans.scan import TIERS, Scan

logger = logging.getLogger(__name__)

_EXPECTED = "a scan in the FileTree layout"
_KINDS = ("images", "responses", "behavior", "pupil_center")
_IMAGE_SHAPES = ((1, 36, 64), (1, 144, 256))
_TIERS = "meta/trials/tiers.npy"
_UNIT_IDS = "meta/neurons/unit_ids.npy"
# Other names are not part of the layout; one that leaves the archive ("../") never matches.
_MEMBER = re.compile(
    rf"(?P<root>(?:(?!\.)[^/\\]+/){{0,2}})"
    rf"(?P<name>data/(?:{'|'.join(_KINDS)})/(?:0|[1-9][0-9]*)\.npy|meta/(?:trials|neurons)/[A-Za-z0-9_]+\.npy)"
)


def read_filetree(path: str | Path) -> Scan:
    """Return the scan in a folder of the lab's FileTree layout, or in a zip of one, read in place.

    The scan stands at the top or up to two folders below it: ``data/{images, responses, behavior,
    pupil_center}/{i}.npy`` with i = 0..T-1, the trial's place in the columns ``meta/trials/tiers.npy``,
    ``meta/trials/*image_id.npy`` and ``meta/trials/*image_class.npy`` (T,); and
    ``meta/neurons/unit_ids.npy`` (N,). Images are (1, 36, 64) or (1, 144, 256), gray levels 0..255: of the
    larger ones blocks of 4 x 4 pixels are averaged; levels are rounded to uint8. Responses are (N,),
    behavior (B,), pupil_center (2,), with or without a leading axis of 1. Other files are ignored.

    Trials of a tier other than train, validation and test (``final_test`` of the Sensorium competition, whose
    responses are withheld) are left out and logged. An image is kept once, under the key ``class/id``, and
    the images are sorted by key.

    Raises
    ------
    InputError
        If there is no scan or more than one, if a file is missing, surplus, damaged, pickled or of another
        shape, if a value is out of place (NaN, gray level outside 0..255), or if one key stands for images
        with different pixels.
    """
    with _stored_files(Path(path)) as stored:
        try:
            return _read(_Members(stored), path)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def recognises_filetree(path: Path) -> bool:
    """Say whether `path` is a zip, or a folder with ``data`` and ``meta`` at the top or up to two below."""
    if path.is_file():
        return is_zip(head(path))
    places = (place for depth in ("", "*/", "*/*/") for place in path.glob(f"{depth}data"))
    return any(place.is_dir() and place.with_name("meta").is_dir() for place in places)


@contextmanager
def _stored_files(path: Path) -> Iterator[dict[str, Callable[[], bytes]]]:
    """Yield what returns each file's bytes, by its name inside the folder or zip."""
    if path.is_dir():
        files = (file for depth in range(3) for file in path.glob(depth * "*/" + "*/*/*.npy"))
        yield {file.relative_to(path).as_posix(): file.read_bytes for file in files}
        return
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; expected {_EXPECTED}.")
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged directory fails in many ways
        raise InputError(f"{path}: is not a folder or a complete zip file; expected {_EXPECTED}.") from error
    with archive:
        yield {info.filename: partial(archive.read, info) for info in archive.infolist()}


class _Members:
    """The arrays of one scan, by their names in the layout."""

    def __init__(self, stored: dict[str, Callable[[], bytes]]):
        matches = [(match, read) for name, read in stored.items() if (match := _MEMBER.fullmatch(name))]
        roots = [match["root"] or "" for match, _ in matches if match["name"] == _TIERS]
        if len(roots) != 1:
            raise InputError(f"holds {len(roots)} files '{_TIERS}'; expected one, of {_EXPECTED}.")
        self._read = {match["name"]: read for match, read in matches if (match["root"] or "") == roots[0]}

    def __contains__(self, name: str) -> bool:
        return name in self._read

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def load(self, name: str) -> np.ndarray:
        if name not in self:
            raise InputError(f"no file '{name}'; expected {_EXPECTED}.")
        try:
            return np.lib.format.read_array(io.BytesIO(self._read[name]()), allow_pickle=False)
        except Exception as error:  # damaged bytes fail in unpacking, in the header, in the data
            reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            raise InputError(
                f"'{name}' is damaged or pickled ({reason}); expected an array in the .npy format."
            ) from error

    def column(self, name: str) -> np.ndarray:
        """Return a column of text, str (T,)."""
        values = self.load(name)
        if values.ndim != 1:
            raise InputError(f"'{name}' has shape {values.shape}; expected one entry per trial.")
        return texts(values, f"'{name}'")

    def numbers(self, name: str, *shapes: tuple[int, ...]) -> np.ndarray:
        """Return finite numbers, float32, in one of the shapes."""
        values = self.load(name)
        if values.dtype.kind not in "fiu":
            raise InputError(f"'{name}' holds {values.dtype}; expected numbers.")
        if values.shape not in shapes:
            expected = " or ".join(str(shape) for shape in shapes)
            raise InputError(f"'{name}' has shape {values.shape}; expected {expected}.")
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        bad = ~np.isfinite(values)
        if bad.any():
            raise InputError(
                f"'{name}' holds {int(bad.sum())} values that are NaN or infinite; expected finite values."
            )
        return values


def _read(members: _Members, path: str | Path) -> Scan:
    tiers = members.column(_TIERS)
    _check_files(members, len(tiers))
    classes, ids = (
        members.column(find_column(aliases, "meta/trials/*.npy", "file", members.__contains__))
        for aliases in (CLASS_COLUMNS, ID_COLUMNS)
    )
    if not len(classes) == len(ids) == len(tiers):
        raise InputError(
            f"'{_TIERS}' has {len(tiers)} entries, the images' class {len(classes)} and id {len(ids)}; "
            f"expected equally many."
        )
    trials = _trials_with_known_tier(tiers, path)
    key, image = np.unique(image_keys(classes, ids)[trials], return_inverse=True)
    unit_id = _unit_ids(members)

    images = DistinctImages(key)
    for index, trial in zip(image, trials, strict=True):
        name = f"data/images/{trial}.npy"
        pixels = members.numbers(name, *_IMAGE_SHAPES)
        try:
            images.add(np.array([index]), pixels, [trial])
        except InputError as error:
            raise InputError(f"'{name}': {error}") from error
    behaviors = members.load(f"data/behavior/{trials[0]}.npy").size
    behavior = _rows(members, "behavior", trials, behaviors)
    pupil_center = _rows(members, "pupil_center", trials, 2)
    for name, values in (("behavior", behavior), ("pupil_center", pupil_center)):
        if not values.any():
            logger.warning("%s: %s is exactly 0 in all trials, so withheld", path, name)
    return Scan(
        images=images.collected(),
        key=key,
        image=image.astype(np.int64),
        tier=tiers[trials],
        responses=_rows(members, "responses", trials, len(unit_id)),
        behavior=behavior,
        pupil_center=pupil_center,
        unit_id=unit_id,
    )


def _check_files(members: _Members, trials: int) -> None:
    expected = dict.fromkeys(f"data/{kind}/{trial}.npy" for kind in _KINDS for trial in range(trials))
    missing = [name for name in expected if name not in members]
    if missing:
        raise InputError(
            f"no file '{missing[0]}' ({len(missing)} missing in all); "
            f"expected one of each kind for the {trials} trials of '{_TIERS}'."
        )
    surplus = [name for name in members if name.startswith("data/") and name not in expected]
    if surplus:
        raise InputError(
            f"file '{min(surplus)}' ({len(surplus)} surplus in all); "
            f"expected one of each kind for the {trials} trials of '{_TIERS}'."
        )


def _trials_with_known_tier(tiers: np.ndarray, path: str | Path) -> np.ndarray:
    known = np.isin(tiers, TIERS)
    names, counts = np.unique(tiers[~known], return_counts=True)
    for name, count in zip(names, counts, strict=True):
        logger.warning("%s: tier '%s' left out, %d trials; not train, validation or test", path, name, count)
    if not known.any():
        found = f"only tiers {', '.join(names)}" if len(names) else "no trials"
        raise InputError(f"'{_TIERS}' has {found}; expected train, validation or test.")
    return np.flatnonzero(known)


def _unit_ids(members: _Members) -> np.ndarray:
    values = members.load(_UNIT_IDS)
    if values.dtype.kind not in "iu" or values.ndim != 1 or not len(values):
        raise InputError(
            f"'{_UNIT_IDS}' holds {values.dtype} {values.shape}; expected one whole number per neuron."
        )
    return values.astype(np.int64)


def _rows(members: _Members, kind: str, trials: np.ndarray, length: int) -> np.ndarray:
    """Return the trials' vectors, float32 (T, length), read one by one: a scan fills memory once."""
    rows = np.empty((len(trials), length), np.float32)
    for row, trial in zip(rows, trials, strict=True):
        row[:] = members.numbers(f"data/{kind}/{trial}.npy", (length,), (1, length)).reshape(length)
    return rows
