"""Folders of image files: which files count as images, in what order they come, how they are decoded."""

import errno
import logging
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from neuroreg.errors import InputError
from neuroreg.files.kinds import describe, head

logger = logging.getLogger(__name__)
# Of what Pillow recognises, formats that it cannot decode by itself: stubs, a video, and PostScript, which
# another program would run.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# What systems put into folders of the user's, some of it with thumbnails; names with a dot are hidden anyway.
_SYSTEM_FOLDERS = {"$RECYCLE.BIN", "@eaDir", "__MACOSX", "lost+found", "System Volume Information"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation; 1 is upright."""


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files in a folder at any depth, sorted by their paths below it.

    A file counts if its extension, in small or capital letters, is of a format that Pillow decodes. Hidden
    files and folders are skipped, links are followed. One line of the log says how many images were
    taken, what was left out and why.

    Raises
    ------
    InputError
        If the folder or one in it cannot be listed, links lead in a circle, or an image's name is not UTF-8.
    """
    folder = Path(folder)
    left_out: Counter[str] = Counter()
    files = _sorted_images(folder, left_out)
    note_taken(folder, f"{len(files)} images", left_out)
    return files


def _sorted_images(folder: Path, left_out: Counter[str]) -> list[Path]:
    files = list(_walk(folder, left_out, ())) if folder.is_dir() else []
    for file in files:
        check_name(file)
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def images_in(folder: Path) -> list[Path]:
    """Return what `find_images` returns, without a line in the log."""
    return _sorted_images(folder, Counter())


def images_of_classes(folder: Path) -> list[Path]:
    """Return the images in ``train/<class>/`` and ``test/<class>/``, sorted, without a line in the log.

    Raises
    ------
    InputError
        As `find_images`.
    """
    parts = [folder / part for part in ("train", "test") if (folder / part).is_dir()]
    classes = (part / entry.name for part in parts for entry in _listed(part, Counter()) if _is_folder(entry))
    return sorted(file for one in classes for file in images_in(one))


def class_folders(folder: str | Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, by the rules of `find_images`.

    Raises
    ------
    InputError
        As `find_images`.
    """
    folder = Path(folder)
    left_out: Counter[str] = Counter()
    names = []
    for entry in _listed(folder, left_out):
        if _is_folder(entry):
            check_name(folder / entry.name)
            names.append(entry.name)
        else:
            left_out["beside the folders"] += 1
    note_taken(folder, f"{len(names)} folders", left_out)
    return sorted(names)


def check_name(path: Path) -> None:
    """Refuse a file or folder whose own name no text can hold: classes and images are called by their names.

    Raises
    ------
    InputError
        If it is not UTF-8.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise InputError(f"{shown}: a name that is not UTF-8; expected another.") from error


def note_taken(folder: Path, taken: str, left_out: Counter[str]) -> None:
    """Log what was taken of a folder and, as a warning, what was left out of it."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    level = logging.WARNING if left_out else logging.INFO
    logger.log(level, "%s: %s taken, left out: %s", folder, taken, reasons or "nothing")


def _walk(folder: Path, left_out: Counter[str], above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = folder.stat()
    place = status.st_dev, status.st_ino
    if place in above:
        raise InputError(f"{folder}: a link to a folder above it; expected links that lead in no circle.")
    for entry in _listed(folder, left_out):
        suffix = Path(entry.name).suffix.lower()
        if _is_folder(entry):
            yield from _walk(folder / entry.name, left_out, (*above, place))
        elif not entry.is_file():
            left_out["broken links" if entry.is_symlink() else "not files"] += 1
        elif suffix in _extensions():
            yield folder / entry.name
        else:
            left_out[f"{suffix} files" if suffix else "files without extension"] += 1


def _listed(folder: Path, left_out: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder holds and is not hidden, sorted."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        # Without this right the names are seen, but nothing behind them.
        if entries and not os.access(folder, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError
    except PermissionError as error:
        raise InputError(
            f"{folder}: no permission to list this folder; expected the rights to read and to enter it."
        ) from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SYSTEM_FOLDERS:
            left_out["hidden"] += 1
        else:
            yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(
                f"{entry.path}: a link to itself; expected links that lead in no circle."
            ) from error
        raise


@cache
def _extensions() -> frozenset[str]:
    known = Image.registered_extensions()
    return frozenset(extension for extension, name in known.items() if name in _formats() or name == "MPO")


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that are decoded, so that no file's content calls for another program."""
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _NOT_DECODED))


def open_image(path: str | Path) -> Image.Image:
    """Return a fully decoded image of mode L or RGB, turned upright as its EXIF orientation says.

    Of a file with several frames the first; what transparency covers is left out of account.

    Raises
    ------
    InputError
        If the file cannot be read or decoded, or is not an 8-bit image.
    """
    try:
        with Image.open(path, formats=_formats()) as image:
            image.load()
            turn = _TURNS.get(_orientation(image))  # type: ignore[call-overload]
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this image; expected the right to.") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected an image.") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged files fail in many ways
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, not the file's
        raise InputError(
            f"{path}: not a readable image{_other_kind(path)}; expected one, complete."
        ) from error
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: pixels of mode {image.mode}; expected an 8-bit gray or colour image.")
    try:
        # A palette's entries too: in other modes Pillow would drop or blend its transparency.
        image = image if image.mode == "L" else image.convert("RGB")  # type: ignore[assignment]
    except ValueError as error:
        raise InputError(f"{path}: pixels of mode {image.mode}; expected gray or colours.") from error
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF beside good pixels, which are then taken as they are
        return None


def _other_kind(path: str | Path) -> str:
    kind = describe(head(path))
    return "" if kind == "a file of unknown kind" else f" but {kind}"


def read_gray(path: str | Path) -> np.ndarray:
    """Return an image file as gray float64 (H, W) in 0..255, unrounded ITU-R 601 luma.

    Raises
    ------
    InputError
        As `open_image`.
    """
    image = open_image(path)
    if image.mode == "L":
        return np.asarray(image, dtype=np.float64)
    return np.asarray(image, dtype=np.float64) @ np.array([0.299, 0.587, 0.114])
