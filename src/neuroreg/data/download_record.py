"""The small file that stands for a downloaded one in the workflow.

Snakemake deletes a rule's outputs before the rule runs again and when it fails. A download of gigabytes is
therefore no output: it lies in a folder of its own, and the output is this record of its place and content.
"""

from pathlib import Path

from neuroreg.errors import InputError
from neuroreg.storage import read_json, sha256, write_json

_KIND = "download"


def write_record(path: str | Path, file: str | Path, digest: str, url: str) -> None:
    """Write where a downloaded file (or the folder in its place) lies, with its SHA-256 and where it is from.

    The same content makes the same record, byte by byte, for Snakemake to see no change where there is none.
    """
    write_json(path, {"kind": _KIND, "path": str(file), "sha256": digest, "url": url})


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
    if not isinstance(record, dict) or record.get("kind") != _KIND or not {"path", "sha256"} <= set(record):
        raise InputError(f"{path}: is no record of a download; expected one.")
    file = Path(record["path"])
    again = "--forcerun download_scan"
    if not file.exists():
        raise InputError(f"{file}: no such file or folder; expected the download ({again} fetches it again).")
    digest = sha256(file)
    if digest != record["sha256"]:
        raise InputError(
            f"{file}: SHA-256 {digest}; expected {record['sha256']} from {path} ({again} says what to do)."
        )
    return file
