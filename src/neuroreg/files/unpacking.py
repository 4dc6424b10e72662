"""How much a packed file may unpack to: a little that claims to be a lot is refused before it is read."""

from neuroreg.errors import InputError

ALWAYS = 1_000_000_000
"""Bytes that anything may unpack to."""
TIMES = 100
"""How many times as large as what is stored more than that may be; recordings shrink 2 to 20 times."""


def check_unpacked(what: str, unpacked: int, stored: int) -> None:
    """Check that something packed is no bomb.

    Parameters
    ----------
    what
        What it is, for the message.
    unpacked, stored
        Bytes that it says it has, and that the file holds of it.

    Raises
    ------
    InputError
        If it unpacks to more than 1 GB and to more than 100 times what is stored.
    """
    if unpacked > ALWAYS and unpacked > TIMES * stored:
        raise InputError(
            f"{what} unpacks to {unpacked / 1e9:.1f} GB, of which {stored / 1e6:.1f} MB are stored; expected "
            f"at most {ALWAYS / 1e9:.0f} GB, or {TIMES} times what is stored."
        )
