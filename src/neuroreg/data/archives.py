"""Whether a downloaded file is a complete zip or HDF5 file."""

import zipfile
from pathlib import Path

import h5py

from neuroreg.errors import InputError
from neuroreg.file_kinds import describe, head, is_hdf5, is_zip


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
