"""Columns in the lab's layouts: their names over the years, their text, image keys."""

from collections.abc import Callable

import numpy as np

from neuroreg.errors import InputError

# Files of different years name the columns differently; the first one present counts.
ID_COLUMNS = ("image_id", "colorframeprojector_image_id", "frame_image_id")
CLASS_COLUMNS = ("image_class", "colorframeprojector_image_class", "frame_image_class")


def find_column(aliases: tuple[str, ...], pattern: str, kind: str, exists: Callable[[str], bool]) -> str:
    """Return the first of `aliases` that exists, put in the place of ``*`` in `pattern`.

    Parameters
    ----------
    aliases
        Names of the column, e.g. `ID_COLUMNS`.
    pattern
        Where columns stand in the layout, e.g. ``item_info/*``.
    kind
        What a column is there, for the message, e.g. ``dataset``.
    exists
        Says whether the layout has a column at a place.

    Raises
    ------
    InputError
        If none of them exists.
    """
    for alias in aliases:
        if exists(pattern.replace("*", alias)):
            return pattern.replace("*", alias)
    first, *others = aliases
    raise InputError(f"no {kind} '{pattern.replace('*', first)}'; expected it or {' or '.join(others)}.")


def texts(values: np.ndarray, name: str) -> np.ndarray:
    """Return bytes (UTF-8), strings of any storage or whole numbers as an array of str, shape as given.

    Parameters
    ----------
    values
        dtype S, U, object (bytes or str), or an integer.
    name
        What holds them, for the message, e.g. ``dataset 'tiers'``.

    Raises
    ------
    InputError
        If bytes are not UTF-8, or for another dtype: 12.0 is not the image that 12 is.
    """
    if values.dtype.kind not in "SUOiu":
        raise InputError(f"{name} holds {values.dtype}; expected text or whole numbers.")
    if values.dtype.kind in "SO":
        try:
            values = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is not UTF-8; expected text.") from error
    return np.asarray(values).astype(np.str_)


def image_keys(classes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the keys ``class/id``, str (T,), of two columns of str."""
    return np.array([f"{c}/{i}" for c, i in zip(classes, ids, strict=True)], dtype=np.str_)
