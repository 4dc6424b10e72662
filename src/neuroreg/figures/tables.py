"""The paper's Table 1, and minimal adversarial distances summarised and as a table."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from neuroreg.figures.checks import NORMS, check_distances, check_frame, check_unique
from neuroreg.figures.frames import gamma_columns

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
    gammas = gamma_columns(histories)
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
