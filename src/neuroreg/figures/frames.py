"""Tables of single runs brought together."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from neuroreg.csv_files import read_csv


def read_runs(paths: Iterable[str | Path], runs: Iterable[Mapping]) -> pd.DataFrame:
    """Return the tables of several runs below each other.

    Parameters
    ----------
    paths
        One CSV file per run.
    runs
        What each run is, e.g. its model, seed and alpha; these become the first columns.
    """
    frames = []
    for path, run in zip(paths, runs, strict=True):
        frame = read_csv(path)
        for position, (name, value) in enumerate(run.items()):
            frame.insert(position, name, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def kept_epochs(histories: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each run (model, seed) at its lowest validation loss: the state that was kept."""
    best = histories.groupby(["model", "seed"], sort=False)["validation_loss"].idxmin()
    return histories.loc[best].reset_index(drop=True)


def gamma_columns(histories: pd.DataFrame) -> list[str]:
    """Return the names of the columns gamma_1, gamma_5, ..., from the first layer to the last."""
    found = [name for name in histories.columns if re.fullmatch(r"gamma_\d+", str(name))]
    return sorted(found, key=lambda name: int(name.removeprefix("gamma_")))
