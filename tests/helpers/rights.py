"""Rights that are really lacking, also where the tests are run by root."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def without_rights() -> Iterator[Path]:
    """Yield a new folder, and look at files as a user without privileges."""
    # Not tmp_path, whose parents only their owner may enter.
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if os.geteuid() != 0:
            try:
                yield folder
            finally:
                _open_up(folder)
            return
        os.chown(folder, _NOBODY, -1)
        os.seteuid(_NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)


def _open_up(folder: Path) -> None:
    """Give the owner all rights again, so that the folder can be deleted."""
    folder.chmod(0o700)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _open_up(entry)
