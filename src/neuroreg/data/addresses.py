"""What may be downloaded, and under which name it is kept."""

import re
from urllib.parse import unquote, urlsplit

from neuroreg.errors import InputError

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
    found = unquote(parts.path.rpartition("/")[2]) if name is None else name
    if not _NAME.fullmatch(found) or found.endswith((".part", ".sha256")):
        raise InputError(
            f"found the file name '{found}'; expected letters, digits, '.', '_', '+' and '-', starting with "
            "a letter or digit and not ending in .part or .sha256 (the key 'file' sets it)."
        )
    return found
