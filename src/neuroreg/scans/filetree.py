"""Reader of the lab's FileTree layout: one .npy file per trial and kind, in a folder or in a zip."""

import errno
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.kinds import head, is_zip
from neuroreg.files.unpacking import check_unpacked
from neuroreg.scans.layout import DROPPING, Layout, expect_image_shape, read_layout
from neuroreg.scans.missing import Missing
from neuroreg.scans.scan import Scan

_EXPECTED = "a scan in the FileTree layout"
_MAY_BE_MISSING = ("behavior", "pupil_center")
_KINDS = ("images", "responses", *_MAY_BE_MISSING)
_TIERS = "meta/trials/tiers.npy"
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_OTHER_PACKING = {
    9: "Deflate64, as Windows packs large files",
    93: "Zstandard",
    95: "xz",
    98: "PPMd",
    99: "AES",
}
# Other names are not part of the layout; one that leaves the archive ("../") never matches.
_MEMBER = re.compile(
    rf"(?P<root>(?:(?!\.)[^/\\]+/){{0,2}})"
    rf"(?P<name>data/(?:{'|'.join(_KINDS)})/(?:0|[1-9][0-9]*)\.npy|meta/(?:trials|neurons)/[A-Za-z0-9_]+\.npy)"
)
# What seems to be of a kind: in its folder at any depth, or in one file; neither hidden nor a zip's folder.
_OTHERS = r"{}data/{}(\.[^/]*|(/[^./][^/]*)+)$"


def read_filetree(path: str | Path, missing: Missing = "refuse") -> Scan:
    """Return the scan in a folder of the lab's FileTree layout, or in a zip of one, read in place.

    The scan stands at the top or up to two folders below it: ``data/{images, responses, behavior,
    pupil_center}/{i}.npy`` with i = 0..T-1, the trial's place in the columns ``meta/trials/tiers.npy``,
    ``meta/trials/*image_id.npy`` and ``meta/trials/*image_class.npy`` (T,); and
    ``meta/neurons/{unit_ids, area, layer}.npy`` (N,). Images are (1, 36 f, 64 f) with a whole number f,
    gray levels 0..255: blocks of f x f pixels are averaged; levels are rounded to uint8. Responses are
    (N,), behavior (B,), pupil_center (2,), with or without a leading axis of 1. The folders of the last two
    may be missing, but not hold files of other names; what is in ``meta/neurons`` may be missing. Other
    files are ignored. `layout.read_layout` says what becomes of repeats, other tiers, what is missing and of
    NaN.

    Raises
    ------
    InputError
        If there is no scan or more than one, if a file is missing, surplus, damaged, pickled or of another
        shape, if a value is out of place (NaN unless `missing` drops it, gray level outside 0..255), or if
        one key stands for images with different pixels.
    """
    with _stored_files(Path(path)) as stored:
        try:
            return read_layout(_FileTree(stored), path, missing)
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
        yield {file.relative_to(path).as_posix(): file.read_bytes for file in _files_in(path, 5)}
        return
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; expected {_EXPECTED}.")
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a damaged directory fails in many ways
        raise InputError(f"{path}: is not a folder or a complete zip file; expected {_EXPECTED}.") from error
    with archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            # Some programs of Windows write its separator.
            name = info.filename.replace("\\", "/")
            if members.setdefault(name, info) is not info and _MEMBER.fullmatch(name):
                raise InputError(f"{path}: holds '{name}' twice; expected each file once.")
        for name, info in members.items():
            if _MEMBER.fullmatch(name):
                _refuse_packing(path, name, info)
        read = [info for name, info in members.items() if _MEMBER.fullmatch(name)]
        sizes = (sum(info.file_size for info in read), sum(info.compress_size for info in read))
        check_unpacked(f"{path}: is a zip whose scan", *sizes)
        yield {name: partial(archive.read, info) for name, info in members.items()}


def _files_in(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the files in a folder and, by so many levels in all, those in it; links are followed."""
    for entry in sorted(folder.iterdir()):
        if entry.suffix == ".npy" and not entry.is_dir():
            if entry.exists() and not entry.is_file():  # reading a pipe or a device has no end
                raise InputError(f"{entry}: is neither a file nor a folder; expected an array.")
            yield entry
        elif entry.name.startswith("."):
            continue
        elif not entry.is_dir():
            yield entry
        elif depth > 1:
            yield from _files_in(entry, depth - 1)


def _refuse_packing(path: Path, name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise InputError(f"{path}: '{name}' is encrypted; expected a zip without a password.")
    if info.compress_type not in _PACKED:
        how = _OTHER_PACKING.get(info.compress_type, "an unknown method")
        raise InputError(
            f"{path}: '{name}' is packed with {how} (method {info.compress_type}); expected deflate, bzip2, "
            "lzma or none, or the unpacked folder."
        )


class _FileTree(Layout):
    """The files of one scan, by their names in the layout."""

    holder = "file"
    tiers = _TIERS
    trial_columns = "meta/trials/{}.npy"
    neuron_columns = "meta/neurons/{}.npy"

    def __init__(self, stored: dict[str, Callable[[], bytes]]):
        matches = [(match, read) for name, read in stored.items() if (match := _MEMBER.fullmatch(name))]
        roots = [match["root"] or "" for match, _ in matches if match["name"] == _TIERS]
        if len(roots) != 1:
            raise InputError(f"holds {len(roots)} files '{_TIERS}'; expected one, of {_EXPECTED}.")
        self._read = {match["name"]: read for match, read in matches if (match["root"] or "") == roots[0]}
        self._kinds = {name.split("/")[1] for name in self._read if name.startswith("data/")}
        for kind in _MAY_BE_MISSING:
            # What may be missing as a whole must not be lost to other names.
            others = sorted(filter(re.compile(_OTHERS.format(re.escape(roots[0]), kind)).match, stored))
            if others and kind not in self._kinds:
                raise InputError(
                    f"holds '{others[0].removeprefix(roots[0])}' ({len(others)} such files in all), but no "
                    f"'data/{kind}/0.npy'; expected data/{kind}/{{i}}.npy for trials i = 0, 1, 2, ..., or "
                    f"nothing of the name '{kind}'."
                )

    def __contains__(self, name: str) -> bool:
        return name in self._read

    def load(self, name: str) -> np.ndarray:
        if name not in self:
            raise InputError(f"no file '{name}'; expected {_EXPECTED}.")
        try:
            # Unlike numpy.load it takes nothing but this format; objects, which are pickled, are refused.
            return np.lib.format.read_array(io.BytesIO(self._read[name]()), allow_pickle=False)
        except FileNotFoundError as error:
            raise InputError(f"'{name}' is a link to a file that is not there; expected the file.") from error
        except Exception as error:  # damaged bytes fail in unpacking, in the header, in the data
            # The system's, not the file's, but for a place to read at that the file has wrong.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            reason = (
                re.sub(r" at 0x\w+", "", str(error).partition("\n")[0].rstrip(".")) or type(error).__name__
            )
            raise InputError(
                f"'{name}' is damaged or pickled ({reason}); expected an array in the .npy format."
            ) from error

    def check(self, trials: int) -> None:
        kinds = [kind for kind in _KINDS if kind in ("images", "responses") or self.has(kind)]
        expected = dict.fromkeys(f"data/{kind}/{trial}.npy" for kind in kinds for trial in range(trials))
        missing = [name for name in expected if name not in self]
        surplus = [name for name in self._read if name.startswith("data/") and name not in expected]
        wanted = f"expected one of each kind for the {trials} trials of '{_TIERS}'."
        if missing:
            raise InputError(f"no file '{missing[0]}' ({len(missing)} missing in all); {wanted}")
        if surplus:
            raise InputError(f"file '{min(surplus)}' ({len(surplus)} surplus in all); {wanted}")

    def has(self, kind: str) -> bool:
        return kind in self._kinds

    def _numbers(self, kind: str, trial: int) -> np.ndarray:
        name = f"data/{kind}/{trial}.npy"
        values = self.load(name)
        if values.dtype.kind not in "fiu":
            raise InputError(f"'{name}' holds {values.dtype}; expected numbers.")
        return values

    def rows(self, kind: str, trials: np.ndarray, length: int | None, gaps: bool) -> np.ndarray:
        if length is None:
            length = self._numbers(kind, trials[0]).size
        # Filled row by row, so that the scan is in memory once.
        rows = np.empty((len(trials), length), np.float32)
        for row, trial in zip(rows, trials, strict=True):
            values = self._numbers(kind, trial)
            if values.shape not in ((length,), (1, length)):
                raise InputError(
                    f"'data/{kind}/{trial}.npy' has shape {values.shape}; "
                    f"expected ({length},) or (1, {length})."
                )
            with np.errstate(over="ignore"):
                row[:] = values.reshape(length)
            bad = np.count_nonzero(np.isinf(row) if gaps else ~np.isfinite(row))
            if bad:
                hint = "" if gaps or not np.isnan(row).any() else DROPPING
                raise InputError(
                    f"'data/{kind}/{trial}.npy' holds {bad} values that are NaN or infinite; "
                    f"expected finite values{hint}."
                )
        return rows

    def image_blocks(self, trials: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        for position, trial in enumerate(trials):
            pixels = self._numbers("images", trial)
            expect_image_shape(pixels.shape, f"'data/images/{trial}.npy'")
            yield slice(position, position + 1), pixels
