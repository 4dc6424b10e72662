"""What kind of file something is, told by its first bytes: names and servers may lie."""

import re
import zipfile
from pathlib import Path

import h5py

from neuroreg.errors import InputError

# Enough for an HDF5 file that begins after a user block of up to 4 KiB.
HEAD_SIZE = 8192
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_SIGNATURES = (
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\xfd7zXZ\x00", "an xz file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x93NUMPY", "a single NumPy array"),
    (0, b"MATLAB 5.0", "a MATLAB file of a version before 7.3"),
    (0, b"version https://git-lfs.github.com/", "a Git LFS pointer, not the file that it stands for"),
)
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b", re.I | re.S)
# What stands in place of a file that git-annex keeps elsewhere: the target of a link, or an unlocked pointer.
_ANNEX = re.compile(rb"(?:[./]*\.git)?/annex/objects/\S+\s*")


def check_archive(path: str | Path) -> None:
    """Check that a file is zip or HDF5 and that its end is there.

    Raises
    ------
    InputError
        If it is something else, cut off, or a zip without files.
    """
    start = head(path)
    expected = "expected a zip or HDF5 file"
    if is_zip(start):
        try:
            with zipfile.ZipFile(path) as archive:
                empty = not archive.infolist()
        except Exception as error:  # a damaged directory fails in many ways
            raise InputError(f"{path}: is a zip archive without its end; {expected}, complete.") from error
        if empty:
            raise InputError(f"{path}: is a zip archive without files; {expected} with a scan.")
    elif is_hdf5(start):
        try:
            h5py.File(path, "r", locking=False).close()  # the download itself holds a lock
        except OSError as error:
            raise InputError(f"{path}: is a damaged or cut off HDF5 file; {expected}, complete.") from error
    else:
        raise InputError(f"{path}: is {describe(start)}; {expected}.")


def head(path: str | Path) -> bytes:
    """Return the first bytes of a file, at most `HEAD_SIZE`."""
    with Path(path).open("rb") as stream:
        return stream.read(HEAD_SIZE)


def is_hdf5(start: bytes) -> bool:
    """Say whether a file that starts with these bytes is HDF5: its signature may follow a user block."""
    return any(start.startswith(_HDF5, offset) for offset in (0, 512, 1024, 2048, 4096))


def is_zip(start: bytes) -> bool:
    """Say whether a file that starts with these bytes is a zip archive."""
    return start.startswith(_ZIP)


def describe(start: bytes) -> str:
    """Return what a file is that starts with these bytes, as in "an HTML page"."""
    if not start:
        return "an empty file"
    if is_hdf5(start):
        return "an HDF5 file"
    if is_zip(start):
        return "a zip archive"
    for offset, signature, kind in _SIGNATURES:
        if start.startswith(signature, offset):
            return kind
    if _HTML.match(start):
        return "an HTML page"
    if _ANNEX.fullmatch(start):
        return "a git-annex pointer, not the file that it stands for"
    return "a text file" if _is_text(start) else "a file of unknown kind"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        # A character may be cut in two where the head ends.
        if error.start < len(start) - 3 or len(start) < HEAD_SIZE:
            return False
        text = start[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)
