"""The paper's Table 1, and minimal adversarial distances as a table."""

import math
from collections.abc import Collection, Mapping

import pandas as pd

from neuroreg.analysis.checks import check_distances, check_frame, check_unique, gamma_columns
from neuroreg.analysis.distances import OVER_SEEDS, distance_statistics

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


def table2(
    distances: pd.DataFrame, models: Mapping[str, str] | None = None, apart: Collection[str] = ()
) -> pd.DataFrame:
    """Return mean, median, success and each attack's wins per norm and model, over all seeds.

    Parameters
    ----------
    distances
        As `check_distances` takes them.
    models
        Model name to display label, in the order of the rows; all models under their names if None.
    apart
        Models that share their seeds with no other, see `neuroreg.analysis.distances.sharing_seeds`.

    Returns
    -------
    pandas.DataFrame
        Columns norm, model, label, seeds, n, n_correct, mean (of the distances found), bound (what it is at
        most, those not found counting as the largest possible), median (all samples, misclassified ones 0;
        each followed by the ends of its 95 % interval, as in mean_low and mean_high), mean_correct,
        bound_correct, median_correct, not_found, success, and wins_<attack>: for how many samples of
        all seeds that attack found the smallest distance, for each attack that did for any. See
        `distance_statistics` for the definitions.

    Raises
    ------
    InputError
        As `check_distances`.
    """
    if models is None:
        check_frame(distances, "distances", ["model"])
        models = {name: str(name) for name in dict.fromkeys(distances["model"])}
    distances = check_distances(distances, models)
    rows = distance_statistics(distances, models, apart)
    rows = rows[rows["level"] == OVER_SEEDS]
    key = ["norm", "model"]
    table = rows[rows["samples"] == "all"].drop(columns=["samples", "level", "seed"])
    table = table.rename(columns={"low": "mean_low", "high": "mean_high"})
    correct = rows.loc[rows["samples"] == "correct", [*key, "mean", "bound", "median"]]
    table = table.merge(correct, on=key, suffixes=("", "_correct"), validate="one_to_one")
    named = distances[distances["attack"].fillna("").astype(str) != ""]
    wins = pd.crosstab([named["norm"], named["model"]], named["attack"]).sort_index(axis=1)
    wins = wins.add_prefix("wins_").reset_index()
    table = table.merge(wins, on=key, how="left", validate="one_to_one")
    counts = [name for name in table.columns if name.startswith("wins_")]
    table[counts] = table[counts].fillna(0).astype("int64")
    order = "norm model label seeds n n_correct mean mean_low mean_high bound bound_low bound_high"
    order += " median median_low median_high mean_correct bound_correct median_correct not_found success"
    return table[[*order.split(), *counts]]
