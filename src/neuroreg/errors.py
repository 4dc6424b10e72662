"""The one exception that means: the user's input is at fault, and one sentence says how."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 2000


def on_terminal(text: str) -> str:
    """Return a text that a terminal shows as it is, on one line: whatever a file's content put into it.

    What does not print, as line breaks and the codes that steer terminals, is escaped; of a very long text
    the beginning and the end stay.
    """
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
    half = _LONGEST // 2
    return shown if len(shown) <= _LONGEST else f"{shown[:half]} ... {shown[-half:]}"


class InputError(Exception):
    """Bad input from outside the library: a config value, a file, a data set.

    The message is one sentence that names the file or key, what was found and what was expected, on one line
    (`on_terminal`).
    """

    def __str__(self) -> str:
        return on_terminal(super().__str__())


@contextmanager
def naming(what: str | Path) -> Iterator[None]:
    """Put a name, of a file, a scan or an attack, before what is wrong with it.

    Raises
    ------
    InputError
        In place of one without the name.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
