"""Tables of several runs read as one frame, and what a frame must hold before it is drawn or tabulated."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from neuroreg.errors import InputError
from neuroreg.files.storage import read_csv
from neuroreg.robustness.attack_result import NORMS


def read_runs(paths: Iterable[str | Path], runs: Iterable[Mapping]) -> pd.DataFrame:
    """Return the tables of several runs below each other.

    Parameters
    ----------
    paths
        One CSV file per run.
    runs
        What each run is, e.g. its model, seed and alpha; these become the first columns.

    Raises
    ------
    InputError
        If a table is missing, empty, or lacks numbers in ``epoch``, ``validation_loss`` or a layer's gamma.
    """
    frames = []
    for path, run in zip(paths, runs, strict=True):
        frame = read_csv(path)
        check_frame(frame, str(path), [], ["epoch", "validation_loss", *gamma_columns(frame)])
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


def check_frame(frame: pd.DataFrame, what: str, columns: Iterable[str], numeric: Iterable[str] = ()) -> None:
    """Check that `frame` has rows, all `columns`, and numbers without gaps in those of `numeric`.

    Parameters
    ----------
    frame
        Any frame.
    what
        What it is, for the message.
    columns, numeric
        Names of columns that must be there; those in `numeric` must hold numbers and no NaN (inf passes).

    Raises
    ------
    InputError
        If one of these does not hold.
    """
    numeric = list(numeric)
    missing = [name for name in [*columns, *numeric] if name not in frame.columns]
    if missing:
        raise InputError(
            f"{what}: has the columns {', '.join(map(str, frame.columns)) or '(none)'}; "
            f"expected also {', '.join(dict.fromkeys(missing))}."
        )
    if frame.empty:
        raise InputError(f"{what}: has no rows; expected at least one.")
    for name in numeric:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise InputError(f"{what}: column {name} holds {frame[name].dtype} values; expected numbers.")
        if frame[name].isna().any():
            raise InputError(
                f"{what}: column {name} has {int(frame[name].isna().sum())} gaps; expected none."
            )


def check_unique(frame: pd.DataFrame, what: str, key: list[str]) -> None:
    """Check that no two rows of `frame` agree in all columns of `key`.

    Raises
    ------
    InputError
        If two rows do.
    """
    twice = frame[frame.duplicated(key)]
    if len(twice):
        values = ", ".join(f"{name} {twice.iloc[0][name]}" for name in key)
        raise InputError(f"{what}: has more than one row for {values}; expected one.")


def select_models(frame: pd.DataFrame, what: str, models: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of the named `models`.

    Raises
    ------
    InputError
        If no model is named, or one has no row.
    """
    if not models:
        raise InputError(f"{what}: no model is named; expected at least one.")
    found = list(dict.fromkeys(frame["model"]))
    absent = [name for name in models if name not in found]
    if absent:
        raise InputError(
            f"{what}: has rows for the models {', '.join(map(str, found))}; "
            f"expected also {', '.join(absent)}."
        )
    return frame[frame["model"].isin(list(models))]


def check_distances(distances: pd.DataFrame, models: Mapping[str, str]) -> pd.DataFrame:
    """Check a distances frame and return the rows of the named models, in their order.

    Parameters
    ----------
    distances
        Columns model, seed, sample, norm (l0, l1, l2, linf), distance (>= 0; 0 if misclassified; inf if no
        adversarial was found), largest (the largest distance possible, finite), correct (bool), attack (text;
        empty or NaN if none).
    models
        Model name to display label.

    Raises
    ------
    InputError
        If a column, a model or a norm is missing, a distance is negative or larger than possible, a
        misclassified sample has a distance above 0, or the runs differ in their samples.
    """
    what = "distances"
    numeric = ["seed", "sample", "distance", "largest"]
    check_frame(distances, what, ["model", "norm", "attack", "correct"], numeric)
    if not pd.api.types.is_bool_dtype(distances["correct"]):
        raise InputError(
            f"{what}: column correct holds {distances['correct'].dtype}; expected True or False."
        )
    unknown = sorted(set(distances["norm"]) - set(NORMS))
    if unknown:
        raise InputError(f"{what}: has the norm {unknown[0]}; expected one of {', '.join(NORMS)}.")
    frame = select_models(distances, what, models)
    if (frame["distance"] < 0).any():
        raise InputError(f"{what}: has a distance of {frame['distance'].min()}; expected none below 0.")
    if not np.isfinite(frame["largest"]).all():
        raise InputError(
            f"{what}: has a largest possible distance of {frame['largest'].max()}; expected a number."
        )
    # Distances are of float32 images.
    beyond = frame[np.isfinite(frame["distance"]) & (frame["distance"] > frame["largest"] * (1 + 1e-5))]
    if len(beyond):
        first = beyond.iloc[0]
        raise InputError(
            f"{what}: model {first['model']}, sample {first['sample']} has the {first['norm']} distance "
            f"{first['distance']}; expected at most {first['largest']}, the largest possible."
        )
    wrong = frame.loc[~frame["correct"], "distance"]
    if (wrong != 0).any():
        raise InputError(f"{what}: a misclassified sample has the distance {wrong.max()}; expected 0.")
    check_unique(frame, what, ["model", "norm", "seed", "sample"])
    expected = None
    for (model, seed), run in frame.groupby(["model", "seed"]):
        for norm in NORMS:
            samples = frozenset(run.loc[run["norm"] == norm, "sample"])
            expected = samples if expected is None else expected
            if samples != expected or not samples:
                raise InputError(
                    f"{what}: model {model}, seed {seed}, norm {norm} has {len(samples)} samples, not those "
                    f"of the first run ({len(expected)}); expected the same samples everywhere."
                )
    return frame
