"""Which function reads which format of scan."""

from collections.abc import Callable
from pathlib import Path

from neuroreg.errors import InputError
from neuroreg.scans.filetree import read_filetree
from neuroreg.scans.scan import Scan
from neuroreg.scans.static_hdf5 import read_static_hdf5

READERS: dict[str, Callable[[str | Path], Scan]] = {
    "filetree": read_filetree,
    "static_hdf5": read_static_hdf5,
}


def read_scan(path: str | Path, source: str) -> Scan:
    """Return the scan at `path`, which is in the format `source`, a name in `READERS`.

    Raises
    ------
    InputError
        If the format is unknown or the file does not hold a scan in it.
    """
    if source not in READERS:
        raise InputError(f"{path}: scan source '{source}'; expected {' or '.join(sorted(READERS))}.")
    return READERS[source](path)
