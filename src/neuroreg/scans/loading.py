"""A scan from whatever file or folder it is in."""

from pathlib import Path

from neuroreg.files.kinds import head, is_hdf5
from neuroreg.files.records import read_record
from neuroreg.files.storage import open_foreign_h5
from neuroreg.scans.missing import Missing
from neuroreg.scans.readers import find_reader
from neuroreg.scans.scan import Scan


def load_scan(path: str | Path, missing: Missing = "refuse") -> Scan:
    """Return a scan from a file or folder of any format that is known, or from the workflow's own file.

    Parameters
    ----------
    path
        What a recording is in, see docs/scans.md, or ``results/scans/<name>.h5``.
    missing
        What becomes of NaN in a recording: ``refuse``, ``drop_trials`` or ``drop_neurons``.

    Raises
    ------
    InputError
        As `neuroreg.scans.readers.find_reader`, or if the content does not fit.
    """
    path = Path(path)
    if _is_own(path):
        return read_record(path, Scan)
    return find_reader(path).read(path, missing)


def _is_own(path: Path) -> bool:
    if not (path.is_file() and is_hdf5(head(path))):
        return False
    with open_foreign_h5(path, "a scan") as file:
        return file.attrs.get("kind") == Scan.KIND
