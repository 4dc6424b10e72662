"""The tables that a page is made of: which columns each must have, and what may stand in them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from neuroreg.claims.verdict import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from neuroreg.errors import InputError
from neuroreg.files.storage import read_csv
from neuroreg.page.tables import NORMS

_SCORES = ("single_trial_correlation", "correlation_to_average", "feve", "fraction_of_oracle")
# Columns of text, and of numbers.
_COLUMNS = {
    "claims": (
        ("place", "claim", "sentence", "statistic", "holds_if", "paper", "verdict", "note"),
        ("estimate", "low", "high", "bound", "bound_low", "bound_high", "seeds", "samples"),
    ),
    "table1": ((), ("alpha", "seeds")),
    "table2": (
        ("norm", "label"),
        (
            *("mean", "mean_low", "mean_high", "bound", "median", "median_low", "median_high"),
            *("n", "n_correct", "not_found"),
        ),
    ),
    "similarity": (("panel", "scan", "comparison"), ("r", "paper")),
    "scores": (("scan", "model"), _SCORES),
    "masking": (("check", "flag", "expected"), ("value",)),
    "settings": (("attack", "setting", "kept"), ()),
    "overlap": (("scan", "other"), ("images", "shared_keys", "shared_pixels", "conflicts")),
    "convergence": (("norm", "verdict"), ()),
}
_VALUES = {
    ("claims", "verdict"): (REPRODUCED, NOT_REPRODUCED, UNDECIDED),
    ("table2", "norm"): tuple(NORMS),
    ("convergence", "norm"): tuple(NORMS),
}
_NEVER_EMPTY = ("claims", "table1", "table2", "scores", "settings", "convergence")


def read_frames(paths: Mapping[str, str | Path]) -> dict[str, pd.DataFrame]:
    """Return the tables of a page by their names.

    Parameters
    ----------
    paths
        Names to CSV files.

    Raises
    ------
    InputError
        If a file is missing, lacks a column, or holds what a page can't show.
    """
    frames = {}
    for name, path in paths.items():
        frames[name] = frame = read_csv(path, *_COLUMNS.get(name, ((), ())))
        if frame.empty and name in _NEVER_EMPTY:
            raise InputError(f"{path}: has no rows; expected at least one.")
        for (table, column), known in _VALUES.items():
            if table == name:
                for value in frame[column].unique():
                    if value not in known:
                        raise InputError(
                            f"{path}: column {column} holds '{value}'; expected one of {', '.join(known)}."
                        )
    return frames
