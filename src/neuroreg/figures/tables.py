"""Frames checked and summarised, the paper's tables, and tables as LaTeX."""

import math
import numbers
import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from neuroreg.errors import InputError

NORMS = {"l0": "$L_0$", "l1": "$L_1$", "l2": "$L_2$", "linf": r"$L_\infty$"}

# Supplement, Table 1: final gamma of layers 1, 5, 9, 13, 17, mean over seeds.
_PAPER_LAYERS = (1, 5, 9, 13, 17)
PAPER_TABLE_1 = {
    0.0: (0.2, 0.2, 0.2, 0.2, 0.2),
    2.0: (0.0, 1.0, 0.0, 0.0, 0.0),
    4.0: (0.0, 1.0, 0.0, 0.0, 0.0),
    8.0: (0.0, 0.33, 0.67, 0.0, 0.0),
    16.0: (0.0, 0.67, 0.33, 0.0, 0.0),
    32.0: (0.5, 0.5, 0.0, 0.0, 0.0),
}

ONE_SEED, OVER_SEEDS = "one seed", "over seeds"
"""The two values of the column ``level`` in every frame of drawn numbers."""


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


def distance_matrix(
    distances: pd.DataFrame, model: str, norm: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one model's distances under one norm as a matrix; `distances` as `check_distances` returns them.

    Returns
    -------
    distance : float64 (seeds, samples)
        0 where the clean sample is misclassified, inf where no adversarial was found.
    correct : bool (seeds, samples)
        Whether the clean sample is classified correctly.
    seeds : (seeds,)
        The seeds, ascending. Columns are in ascending order of the sample's index.
    """
    part = distances[(distances["model"] == model) & (distances["norm"] == norm)]
    table = part.pivot(index="seed", columns="sample", values=["distance", "correct"])
    distance, correct = table["distance"], table["correct"]
    return distance.to_numpy(np.float64), correct.to_numpy(bool), distance.index.to_numpy()


def check_distances(distances: pd.DataFrame, models: Mapping[str, str]) -> pd.DataFrame:
    """Check a distances frame and return the rows of the named models, in their order.

    Parameters
    ----------
    distances
        Columns model, seed, sample, norm (l0, l1, l2, linf), distance (>= 0; 0 if misclassified; inf if no
        adversarial was found), correct (bool), attack (text; empty or NaN if none).
    models
        Model name to display label.

    Raises
    ------
    InputError
        If a column, a model or a norm is missing, a distance is negative, a misclassified sample has a
        distance above 0, or the runs differ in their samples.
    """
    what = "distances"
    check_frame(distances, what, ["model", "norm", "attack", "correct"], ["seed", "sample", "distance"])
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


def _summary(distance: np.ndarray, correct: np.ndarray) -> dict[str, float | int]:
    """Summarise one set of distances: the mean of the finite ones, the median with inf as largest."""
    found = np.isfinite(distance)
    tried = int(correct.sum())
    failures = int((~found).sum())
    return {
        "mean": float(distance[found].mean()) if found.any() else math.nan,
        "median": float(np.median(distance)) if distance.size else math.nan,
        "n": int(distance.size),
        "n_correct": tried,
        "not_found": failures,
        "success": 1 - failures / tried if tried else math.nan,
    }


def distance_statistics(distances: pd.DataFrame, models: Mapping[str, str]) -> pd.DataFrame:
    """Summarise minimal adversarial distances per norm, model, convention and seed.

    Parameters
    ----------
    distances
        As `check_distances` returns them.
    models
        Model name to display label, in the order of the rows.

    Returns
    -------
    pandas.DataFrame
        One row per norm, model, `samples` and level. `samples` is ``all`` (misclassified samples count with
        distance 0) or ``correct`` (only samples that the model classifies correctly); `level` is ``one seed``
        or ``over seeds``. `mean`: of the distances found, over seeds the mean of the seeds' means; `median`:
        with inf as the largest, over seeds of all seeds' samples together; `n`: distances; `n_correct`: those
        of correctly classified samples; `not_found`: samples without an adversarial; `success`: the share of
        the correctly classified samples for which one was found.
    """
    rows = []
    for norm in NORMS:
        for model, label in models.items():
            distance, correct, seeds = distance_matrix(distances, model, norm)
            for samples, chosen in (("all", np.ones_like(correct)), ("correct", correct)):
                head = {"norm": norm, "model": model, "label": label, "samples": samples}
                per_seed = [_summary(d[c], k[c]) for d, k, c in zip(distance, correct, chosen, strict=True)]
                pooled = _summary(distance[chosen], correct[chosen])
                means = [row["mean"] for row in per_seed if not math.isnan(row["mean"])]
                pooled["mean"] = float(np.mean(means)) if means else math.nan
                rows.append({**head, "level": OVER_SEEDS, "seed": None, "seeds": len(seeds), **pooled})
                rows += [
                    {**head, "level": ONE_SEED, "seed": int(seed), "seeds": 1, **row}
                    for seed, row in zip(seeds, per_seed, strict=True)
                ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def table1(histories: pd.DataFrame) -> pd.DataFrame:
    """Return the final gamma per alpha, mean over seeds, beside the paper's Table 1.

    Parameters
    ----------
    histories
        One row per run, that of the state kept: columns model, alpha, seed, and gamma_1, gamma_5, ... (one
        per layer, in [0, 1]).

    Returns
    -------
    pandas.DataFrame
        Columns alpha (ascending), seeds (how many), g1, g5, ..., paper_g1, paper_g5, ... (supplement, Table
        1; NaN for an alpha that the paper does not have).

    Raises
    ------
    InputError
        If a column is missing, the frame is empty, or an alpha has two rows for one seed.
    """
    what = "histories"
    gammas = sorted(
        (name for name in histories.columns if re.fullmatch(r"gamma_\d+", str(name))),
        key=lambda name: int(name.removeprefix("gamma_")),
    )
    gammas = gammas or [f"gamma_{layer}" for layer in _PAPER_LAYERS]  # so that the message names them
    check_frame(histories, what, ["model"], ["alpha", "seed", *gammas])
    check_unique(histories, what, ["alpha", "seed"])
    names = {name: f"g{name.removeprefix('gamma_')}" for name in gammas}
    groups = histories.groupby("alpha", sort=True)
    table = groups[gammas].mean().rename(columns=names)
    table.insert(0, "seeds", groups.size())
    table = table.reset_index()
    for index, layer in enumerate(_PAPER_LAYERS):
        table[f"paper_g{layer}"] = [
            PAPER_TABLE_1[alpha][index] if alpha in PAPER_TABLE_1 else math.nan for alpha in table["alpha"]
        ]
    return table


def table2(distances: pd.DataFrame, models: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return mean, median, success and each attack's wins per norm and model, over all seeds.

    Parameters
    ----------
    distances
        As `check_distances` takes them.
    models
        Model name to display label, in the order of the rows; all models under their names if None.

    Returns
    -------
    pandas.DataFrame
        Columns norm, model, label, seeds, n, n_correct, mean, median (all samples, misclassified ones 0),
        mean_correct, median_correct, not_found, success, and wins_<attack>: for how many samples of all seeds
        that attack found the smallest distance. See `distance_statistics` for the definitions.

    Raises
    ------
    InputError
        As `check_distances`.
    """
    if models is None:
        check_frame(distances, "distances", ["model"])
        models = {name: str(name) for name in dict.fromkeys(distances["model"])}
    distances = check_distances(distances, models)
    rows = distance_statistics(distances, models)
    rows = rows[rows["level"] == OVER_SEEDS]
    key = ["norm", "model"]
    table = rows[rows["samples"] == "all"].drop(columns=["samples", "level", "seed"])
    correct = rows.loc[rows["samples"] == "correct", [*key, "mean", "median"]]
    table = table.merge(correct, on=key, suffixes=("", "_correct"), validate="one_to_one")
    named = distances[distances["attack"].fillna("").astype(str) != ""]
    wins = pd.crosstab([named["norm"], named["model"]], named["attack"]).sort_index(axis=1)
    wins = wins.add_prefix("wins_").reset_index()
    table = table.merge(wins, on=key, how="left", validate="one_to_one")
    counts = [name for name in table.columns if name.startswith("wins_")]
    table[counts] = table[counts].fillna(0).astype("int64")
    order = "norm model label seeds n n_correct mean median mean_correct median_correct not_found success"
    return table[[*order.split(), *counts]]


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escape_latex(text: str) -> str:
    """Return `text` so that LaTeX prints it as it stands, line breaks as spaces."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _number(value: float) -> str:
    """Return a number at three significant digits, whole numbers from 100 on; '--' for NaN."""
    if pd.isna(value):
        return "--"
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    if isinstance(value, numbers.Integral) or abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"


def to_latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """Return `frame` as a LaTeX table (booktabs; more than nine columns also need graphicx).

    Parameters
    ----------
    frame
        What to print, without its index. Numbers are rounded to three significant digits, those of a column
        of shares (in [0, 1], at least one of 0.1 or more) to three decimals (NaN: ``--``); all other cells,
        the column names (underscores as spaces) and the caption are escaped; a column ``norm`` is set as
        mathematics.
    caption, label
        Of the table; the label goes in as it is.

    Raises
    ------
    InputError
        If the frame is empty.
    """
    check_frame(frame, f"table {label}", [])
    numeric = [
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        for dtype in frame.dtypes
    ]
    # 5.7e-06 in a column of shares is 0 to a reader; in a column of small distances it is not.
    shares = [
        is_number and frame[name].between(0, 1).all() and frame[name].max() >= 0.1
        for name, is_number in zip(frame.columns, numeric, strict=True)
    ]
    head = " & ".join(escape_latex(str(name).replace("_", " ")) for name in frame.columns)
    body = []
    for row in frame.itertuples(index=False):
        cells = []
        for name, is_number, is_share, value in zip(frame.columns, numeric, shares, row, strict=True):
            if is_number:
                cells.append(_number(round(value, 3) if is_share else value))
            elif name == "norm" and value in NORMS:
                cells.append(NORMS[value])
            else:
                cells.append(escape_latex(str(value)))
        body.append(" & ".join(cells) + r" \\")
    tabular = [
        rf"\begin{{tabular}}{{{''.join('r' if is_number else 'l' for is_number in numeric)}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if len(frame.columns) > 9:
        tabular = [r"\resizebox{\textwidth}{!}{%", *tabular, "}"]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{{label}}}",
        *tabular,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
