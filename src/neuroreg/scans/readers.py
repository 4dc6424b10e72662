"""Which formats of scans there are. A new one is a line here and a module that recognises and reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from neuroreg.errors import InputError
from neuroreg.files.kinds import describe, head
from neuroreg.scans.filetree import read_filetree, recognises_filetree
from neuroreg.scans.missing import Missing
from neuroreg.scans.scan import Scan
from neuroreg.scans.static_hdf5 import read_static_hdf5, recognises_static_hdf5


class Reader(NamedTuple):
    """A format: its name in files that are made from it, what it is ("as ..."), a look, and the reading.

    `read` takes the path and what becomes of NaN, see `neuroreg.scans.missing.scan_without_missing`.
    """

    name: str
    form: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Missing], Scan]


# The first that recognises a file or folder reads it: put a particular format before a general one.
READERS = (
    Reader("static_hdf5", "as static HDF5", recognises_static_hdf5, read_static_hdf5),
    Reader("filetree", "in the FileTree layout as a folder or zip", recognises_filetree, read_filetree),
)


def find_reader(path: str | Path) -> Reader:
    """Return the reader that recognises the content of a file or folder, whatever its name.

    Raises
    ------
    InputError
        If there is nothing at `path`, or no reader recognises it; the message says what was found.
    """
    path = Path(path)
    expected = f"expected a scan {', or '.join(reader.form for reader in READERS)}"
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; {expected}.")
    if not path.is_file() and not path.is_dir():  # of which reading may have no end
        raise InputError(f"{path}: is neither a file nor a folder; {expected}.")
    if path.is_dir():
        next(path.iterdir(), None)  # a folder that must not be listed is not an empty one
    for reader in READERS:
        if reader.recognises(path):
            return reader
    if path.is_dir():
        raise InputError(f"{path}: is a folder without folders 'data' and 'meta' of one scan; {expected}.")
    raise InputError(f"{path}: is {describe(head(path))}; {expected}.")
