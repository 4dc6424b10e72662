"""What a file of JSON must hold: checked before anything is taken from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroreg.errors import InputError, on_terminal

NUMBER_LISTS = ([(float, None)], None)
"""The form of a list of numbers, of which some may be missing, or of none at all."""
_NAMES = {str: "text", float: "a number", int: "a whole number", bool: "true or false", None: "null"}
_LONGEST = 60


def check_form(path: str | Path, content: Any, form: Any, place: str = "") -> None:
    """Check that what a JSON file holds is of a form.

    Parameters
    ----------
    path
        The file, for the message.
    content
        As parsed.
    form
        `str`, `bool`, `int`, `float` (whole numbers too) or None for a value; ``[form]`` for a list of such;
        a mapping of keys to forms for an object, which may hold other keys as well; ``{str: form}`` for one
        of any keys; a tuple of forms for any of these.
    place
        Where in the file, for the message.

    Raises
    ------
    InputError
        With the first key that is missing or of another form, what was found and what was expected.
    """
    where = f"{path}: key '{place}'" if place else f"{path}"
    if isinstance(form, tuple):
        form = next((one for one in form if _outer(content, one)), form)
    if not _outer(content, form):
        found = on_terminal(repr(content))
        found = found if len(found) <= _LONGEST else f"{found[:_LONGEST]}..."
        raise InputError(f"{where}: found {found}; expected {_told(form)}.")
    if isinstance(form, list):
        for index, one in enumerate(content):
            check_form(path, one, form[0], f"{place}[{index}]")
    elif isinstance(form, Mapping):
        named = dict.fromkeys(content, form[str]) if str in form else form
        for key, one in named.items():
            if key not in content:
                raise InputError(f"{where}: no key '{key}'; expected {', '.join(map(str, named))}.")
            check_form(path, content[key], one, f"{place}.{key}" if place else key)


def _outer(content: Any, form: Any) -> bool:
    """Say whether a value is of a form, whatever it holds."""
    if isinstance(form, tuple):
        return any(_outer(content, one) for one in form)
    if form is None:
        return content is None
    if isinstance(form, list):
        return isinstance(content, list)
    if isinstance(form, Mapping):
        return isinstance(content, Mapping)
    if isinstance(content, bool):
        return form is bool
    return isinstance(content, (int, float) if form is float else form)


def _told(form: Any) -> str:
    if isinstance(form, tuple):
        return " or ".join(map(_told, form))
    if isinstance(form, list):
        return "a list"
    return "an object" if isinstance(form, Mapping) else _NAMES[form]
