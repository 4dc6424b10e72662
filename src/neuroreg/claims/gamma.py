"""The paper's claims about the layer weights gamma (Table 1 of the supplement)."""

from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from neuroreg.analysis.checks import check_frame, check_unique, gamma_columns
from neuroreg.analysis.intervals import share_interval
from neuroreg.claims.verdict import TABLE_1, Claim, Measured, NotTestable, Region, joined, judge

COLLAPSED = 0.9  # our choice: from which weight on a layer is the only one
MOST = 0.75  # our choice: a share of runs that lets one speak of each
EARLY = 3  # layers; the paper's runs chose among 1, 5 and 9


def gamma_claims(histories: pd.DataFrame) -> list[dict]:
    """Test what the paper says of the layer that a regularised run chooses, the one of its largest gamma.

    Intervals are Clopper-Pearson's over runs, which count as independent of each other.

    Parameters
    ----------
    histories
        One row per run of the sweep, that of the state kept: model, alpha, seed, gamma_1, gamma_5, ...

    Returns
    -------
    list of dict
        Rows as of `judge`.

    Raises
    ------
    InputError
        If a column is missing, a gamma of a regularised run is, or a run has two rows.
    """
    what = "histories"
    gammas = gamma_columns(histories)
    check_frame(histories, what, ["model", *(gammas or ["gamma_1"])], ["alpha", "seed"])
    runs = histories[histories["alpha"] > 0]
    if len(runs):
        check_frame(runs, what, [], gammas)
        check_unique(runs, what, ["alpha", "seed"])
    layers = len(gammas)
    first = ", ".join(name.removeprefix("gamma_") for name in gammas[:EARLY])
    claims = [
        (
            Claim(
                "gamma_collapses",
                "Gamma collapses onto one layer in each regularised run.",
                f"share of runs with a gamma above {COLLAPSED}",
                Region(low=MOST),
                "each run",
                TABLE_1,
            ),
            _collapse,
        ),
        (
            Claim(
                "gamma_among_neighbours",
                "Runs that differ in the seed alone choose the same layer or neighbours.",
                "share of pairs of runs with the same alpha whose layers are the same or neighbours; "
                "the threshold is what choices at random give",
                Region(low=by_chance(layers)),
                "among neighbours",
                TABLE_1,
            ),
            _neighbours,
        ),
        (
            Claim(
                "gamma_early",
                "The layer that gamma chooses is an early one.",
                f"share of runs that choose one of the first {EARLY} layers ({first}); the threshold is what "
                "choices at random give",
                Region(low=min(1, EARLY / layers)),
                "each run (Table 1)",
                TABLE_1,
            ),
            _early,
        ),
    ]
    weights = runs[gammas].to_numpy()
    return [judge(claim, partial(_of_any, measure, runs, weights)) for claim, measure in claims]


def by_chance(layers: int) -> float:
    """Return how often two layers chosen at random are the same or neighbours."""
    return (3 * layers - 2) / layers**2


def _possible(runs: float, least: float) -> str:
    """Return a remark if so many runs could not show a share above `least`, even if all agreed."""
    too_few = share_interval(1.0, runs).low <= least
    return "so few runs could not show it even if all agreed" if too_few else ""


def _of_any(measure: Callable, runs: pd.DataFrame, weights: np.ndarray) -> Measured:
    if runs.empty:
        raise NotTestable("no regularised model in sweep.models")
    return measure(runs, weights)


def _collapse(runs: pd.DataFrame, weights: np.ndarray) -> Measured:
    share = float((weights.max(axis=1) > COLLAPSED).mean())
    note = joined(
        f"runs: {len(runs)}; the smallest of their largest gammas: {weights.max(axis=1).min():.3g}",
        _possible(len(runs), MOST),
        "limits are our choice",
    )
    found = share_interval(share, len(runs))
    return Measured(found, runs["seed"].nunique(), None, note)


def _neighbours(runs: pd.DataFrame, weights: np.ndarray) -> Measured:
    if by_chance(weights.shape[1]) >= 1:
        raise NotTestable(f"{weights.shape[1]} regularised layers, all of them neighbours")
    chosen = runs.assign(chosen=weights.argmax(axis=1))
    apart = [
        abs(one - other)
        for _, of_alpha in chosen.groupby("alpha")
        for one, other in combinations(of_alpha["chosen"], 2)
    ]
    seeds = runs["seed"].nunique()
    if not apart:
        raise NotTestable("one seed; which layer varies with the seed takes at least 2")
    differing = sum(distance > 0 for distance in apart)
    share = sum(distance <= 1 for distance in apart) / len(apart)
    # A mean over all pairs of n runs tells at least as much as one over n / 2 pairs without a run in common.
    note = joined(
        f"pairs: {len(apart)}, of which {differing} choose different layers",
        _possible(len(runs) / 2, by_chance(weights.shape[1])),
    )
    return Measured(share_interval(share, len(runs) / 2), seeds, None, note)


def _early(runs: pd.DataFrame, weights: np.ndarray) -> Measured:
    if weights.shape[1] <= EARLY:
        raise NotTestable(f"{weights.shape[1]} regularised layers, all of them early ones")
    share = float((weights.argmax(axis=1) < EARLY).mean())
    return Measured(share_interval(share, len(runs)), runs["seed"].nunique(), None, f"runs: {len(runs)}")
