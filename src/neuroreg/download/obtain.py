"""A file from the network or the copy of it that is already there, and its checksum."""

import logging
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from neuroreg.download.transfer import TIMEOUT, WAITS, transfer
from neuroreg.errors import InputError
from neuroreg.files.kinds import check_archive
from neuroreg.files.storage import read_json, write_json, write_text
from neuroreg.files.storage import sha256 as sha256_of

logger = logging.getLogger(__name__)
_KIND = "download"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def file_name(url: str, name: str | None = None) -> str:
    """Return the name under which a download is kept.

    Parameters
    ----------
    url
        Its address, http or https.
    name
        The name if it is not to be the last part of the address.

    Raises
    ------
    InputError
        If the address is of another kind, or a file cannot have the name in the folder of downloads.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"found '{url}'; expected a web address ({error}).") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"found '{url}'; expected an address that starts with http:// or https://.")
    if not (url.isascii() and url.isprintable() and " " not in url):
        raise InputError(
            f"found '{url}'; expected an address without blanks and letters beyond ASCII, which stand in one "
            f"as in '{quote(parts.path, safe='/%')}'."
        )
    if parts.username is not None:
        raise InputError("found an address with a user's name in it; expected one that everybody can read.")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError as error:
        raise InputError(f"found '{url}'; expected the name of a server in it ({error}).") from error
    found = unquote(parts.path.rpartition("/")[2]) if name is None else name
    if not _NAME.fullmatch(found) or found.endswith((".part", ".sha256")):
        raise InputError(
            f"found the file name '{found}'; expected letters, digits, '.', '_', '+' and '-', starting with "
            "a letter or digit and not ending in .part or .sha256 (the key 'file' sets it)."
        )
    return found


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
        As in `transfer.transfer`.

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


def record_download(
    path: str | Path, file: str | Path, digest: str, url: str, replaced: str | None = None
) -> None:
    """Write where a downloaded file (or the folder in its place) lies, with its SHA-256 and where it is from.

    The same content makes the same record, byte by byte, for Snakemake to see no change where there is none.

    Parameters
    ----------
    path, file, digest, url
        The record, the file, its SHA-256 and its address.
    replaced
        The SHA-256 of what lay in the place of another file when the record was asked for.
    """
    content = {"kind": _KIND, "path": str(file), "sha256": digest, "url": url}
    write_json(path, content | ({"replaced": replaced} if replaced else {}))


def recorded_file(path: str | Path) -> Path:
    """Return the file or folder that a record (``.json``) stands for, and any other path as it is.

    Raises
    ------
    InputError
        If it is no such record, or the file is missing or not the recorded one.
    """
    path = Path(path)
    if path.suffix != ".json":
        return path
    record = read_json(path)
    texts = all(isinstance(record.get(name), str) for name in ("path", "sha256"))
    if record.get("kind") != _KIND or not texts:
        raise InputError(f"{path}: is no record of a download; expected one.")
    file = Path(record["path"])
    again = "--forcerun download_scan"
    if not file.exists():
        raise InputError(f"{file}: no such file or folder; expected the download ({again} fetches it again).")
    digest = sha256_of(file)
    if digest != record["sha256"]:
        raise InputError(
            f"{file}: SHA-256 {digest}; expected {record['sha256']} from {path} ({again} says what to do)."
        )
    return file
