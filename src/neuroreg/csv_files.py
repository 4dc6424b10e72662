"""Tables as CSV files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from neuroreg.errors import InputError
from neuroreg.storage import atomic_path

NAMES = ("model", "label", "attack", "scan")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Return a CSV file's table; names stay text, so that a model may be called ``none`` or ``20``.

    Raises
    ------
    InputError
        If the file is missing, empty or no CSV.
    """
    try:
        texts = dict.fromkeys(NAMES, str)
        return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=["", "nan", "NaN"])
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected a CSV table.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable table ({error}); expected CSV.") from error


def write_csv(path: str | Path, rows: pd.DataFrame | Sequence[Mapping]) -> None:
    """Write a table, or rows with the same keys, atomically; no index, and missing values stay empty."""
    with atomic_path(path) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)
