"""A file from the network or the copy of it that is already there, and its checksum."""

import logging
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from neuroreg.data.addresses import file_name
from neuroreg.data.archives import check_archive
from neuroreg.data.http_transfer import TIMEOUT, WAITS, transfer
from neuroreg.errors import InputError
from neuroreg.storage import sha256 as sha256_of
from neuroreg.storage import write_text

logger = logging.getLogger(__name__)


def obtain(
    url: str,
    folder: str | Path,
    *,
    file: str | None = None,
    sha256: str | None = None,
    timeout: float = TIMEOUT,
    waits: Sequence[float] = WAITS,
) -> tuple[Path, str]:
    """Return a zip or HDF5 file that is in `folder`, after downloading it if it is not there.

    At first sight its SHA-256 is written to ``<file>.sha256``, as sha256sum does, and compared ever after. A
    folder named like it without ``.zip``, the unpacked zip, takes its place where there is only that.

    Parameters
    ----------
    url
        Its address, http or https.
    folder
        Where it is kept.
    file
        Its name there; None takes the last part of the address.
    sha256
        What its SHA-256 must be, 64 hexadecimal digits; None takes the one written at first sight. It is not
        compared with a folder.
    timeout, waits
        As in `http_transfer.transfer`.

    Returns
    -------
    tuple
        The path of the file or folder, and its SHA-256 (`storage.sha256`).

    Raises
    ------
    InputError
        If it cannot be had, is neither zip nor HDF5, or its SHA-256 is another.
    """
    target = Path(folder) / file_name(url, file)
    unpacked = target.with_name(target.name.removesuffix(".zip"))
    place = unpacked if unpacked.is_dir() and not target.exists() else target
    noted = _noted(place)
    if place.exists():
        logger.info("%s: already there", place)
        digest = _present(place, sha256, noted)
    else:
        accept = partial(_arrived, sha256, noted, _note(target))
        digest = transfer(url, target, accept, timeout=timeout, waits=waits)
    logger.info("%s: SHA-256 %s", place, digest)
    if noted != digest:
        try:
            write_text(_note(place), f"{digest}  {place.name}\n")
        except OSError as error:
            logger.warning("%s: cannot be written (%s)", _note(place), error.strerror)
    return place, digest


def _arrived(sha256: str | None, noted: str | None, note: Path, part: Path) -> str:
    """Return the SHA-256 of what has arrived, if it is what it should be."""
    digest = sha256_of(part)
    if sha256 is not None and digest != sha256.lower():
        raise InputError(f"{part}: SHA-256 {digest}; expected {sha256.lower()} from the key 'sha256'.")
    if sha256 is None and noted not in (None, digest):
        raise InputError(
            f"{part}: SHA-256 {digest}; expected {noted} from {note} (delete that to take the new version)."
        )
    check_archive(part)
    return digest


def _present(place: Path, sha256: str | None, noted: str | None) -> str:
    """Return the SHA-256 of what was there before, if it is what it should be."""
    digest = sha256_of(place)
    if sha256 is not None and place.is_file():
        if digest != sha256.lower():
            raise InputError(
                f"{place}: SHA-256 {digest}; expected {sha256.lower()} from the key 'sha256' "
                "(delete the file to download it again, or correct the key)."
            )
    elif noted not in (None, digest):
        raise InputError(
            f"{place}: SHA-256 {digest}; expected {noted} from {_note(place)}, so it was replaced or damaged "
            f"(delete it to download it again, or delete {_note(place).name} to take it as it is)."
        )
    if place.is_file():
        check_archive(place)
    return digest


def _note(place: Path) -> Path:
    return place.with_name(f"{place.name}.sha256")


def _noted(place: Path) -> str | None:
    """Return the SHA-256 written at first sight, None before that."""
    note = _note(place)
    if not note.exists():
        return None
    match = re.match(rb"([0-9a-f]{64})\s", note.read_bytes())
    if not match:
        raise InputError(f"{note}: holds no SHA-256; expected the 64 digits that sha256sum writes.")
    return match[1].decode()
