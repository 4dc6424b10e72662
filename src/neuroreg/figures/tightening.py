"""How far the paper's attacks were from the smallest distance that stronger attacks know of."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from neuroreg.analysis.checks import check_distances, check_frame
from neuroreg.analysis.distances import distance_matrix
from neuroreg.analysis.intervals import (
    FIGURE_RESAMPLES,
    draw_counts,
    percentile_interval,
    resampled_means,
)
from neuroreg.errors import InputError
from neuroreg.figures.style import NORM_LABELS, condition_colors, new_figure, stamp_simulated, style
from neuroreg.seeds import derive_seed


def tightening_figure(
    distances: pd.DataFrame, models: Mapping[str, str], attacks: Sequence[str], note: str = "", seed: int = 0
) -> tuple[Figure, pd.DataFrame]:
    """Draw the mean minimal distance of the paper's attacks beside that with stronger ones, per norm.

    Above, pairs of bars: means over samples (misclassified ones count 0) and seeds, with 95 % bootstrap
    intervals over seeds and samples as in `fig2`, and their ratio. Both are over the samples for which the
    paper's attacks found an adversarial. Below, for each stronger attack, the share of these samples, of the
    correctly classified ones, for which it alone came closer than all of the paper's.

    Parameters
    ----------
    distances
        As `check_distances` takes them, with the columns tightened and, for each of `attacks`,
        ``distance_<attack>``; see `neuroreg.analysis.distances.collect_distances`.
    models
        Model name to display label, in the order of the bars.
    attacks
        Names of the stronger attacks, at least one.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.
    seed
        Decides the bootstrap.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        One row per norm and model: norm, model, label, seeds, n (distances that count); mean (the paper's
        attacks), tightened (with the stronger ones) and ratio (of the two), each followed by the ends of its
        interval, as in mean_low and mean_high; not_found and tightened_not_found (samples without an
        adversarial); for each attack ``closer_<attack>``, the share drawn below.

    Raises
    ------
    InputError
        As `check_distances`; if `attacks` is empty, or a tightened distance is above the paper's.
    """
    if not attacks:
        raise InputError("tightening: no attacks; expected entries in adversarial.tightening.")
    columns = [f"distance_{attack}" for attack in attacks]
    check_frame(distances, "distances", [], ["tightened", *columns])
    distances = check_distances(distances, models)
    if (distances["tightened"] > distances["distance"]).any():
        raise InputError("distances: a tightened distance is above the paper's; expected none.")
    rows = []
    for norm in NORM_LABELS:
        for model, label in models.items():
            rng = np.random.default_rng(derive_seed(seed, "tightening", norm, model))
            row = _compare(distances, model, norm, columns, rng)
            rows.append({"norm": norm, "model": model, "label": label, **row})
    numbers = pd.DataFrame(rows)
    with style():
        fig = _draw(numbers, models, attacks)
        stamp_simulated(fig, note)
    return fig, numbers


def _compare(
    distances: pd.DataFrame, model: str, norm: str, columns: Sequence[str], rng: np.random.Generator
) -> dict[str, float]:
    """Return the numbers of one model and norm."""
    paper, correct, _ = distance_matrix(distances, model, norm)
    best, *alone = (
        distance_matrix(distances.assign(distance=distances[name]), model, norm)[0]
        for name in ("tightened", *columns)
    )
    counted = np.isfinite(paper)
    counts = draw_counts(*paper.shape, FIGURE_RESAMPLES, rng)
    before, after = (resampled_means(values, counted, *counts) for values in (paper, best))
    ratio = np.divide(after, before, out=np.full_like(after, np.nan), where=before > 0)
    tried = counted & correct
    return {
        "seeds": len(paper),
        "n": int(counted.sum()),
        **_with_ends("mean", before),
        **_with_ends("tightened", after),
        **_with_ends("ratio", ratio),
        "not_found": int((~counted).sum()),
        "tightened_not_found": int(np.isinf(best).sum()),
        **{
            name.replace("distance_", "closer_", 1): _share(values < paper, tried)
            for name, values in zip(columns, alone, strict=True)
        },
    }


def _share(which: np.ndarray, among: np.ndarray) -> float:
    return float(which[among].mean()) if among.any() else np.nan


def _with_ends(name: str, statistic: np.ndarray) -> dict[str, float]:
    """Return the statistic and the ends of its interval, by the names of their columns."""
    estimate, low, high = percentile_interval(statistic)
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _draw(numbers: pd.DataFrame, models: Mapping[str, str], attacks: Sequence[str]) -> Figure:
    bars = 0.3 + 0.06 * len(attacks) * (len(models) + 1)  # inches
    fig = new_figure(2, 2.4 + bars)
    axes = fig.subplots(2, len(NORM_LABELS), height_ratios=[1.4, bars])
    colors = condition_colors(list(models.values()))
    places = np.arange(len(attacks))
    thickness = 0.8 / len(models)
    for above, below, (norm, title) in zip(*axes, NORM_LABELS.items(), strict=True):
        for x, (model, color) in enumerate(zip(models, colors, strict=True)):
            row = numbers[(numbers["norm"] == norm) & (numbers["model"] == model)].iloc[0]
            for at, name, alpha in ((x - 0.2, "mean", 0.35), (x + 0.2, "tightened", 0.9)):
                above.bar(at, row[name], width=0.38, color=color, alpha=alpha)
                above.vlines(at, row[f"{name}_low"], row[f"{name}_high"], color="black", linewidth=0.8)
            tops = row[["mean", "mean_high", "tightened_high"]].astype(float)
            if not np.isnan(row["ratio"]):
                above.annotate(
                    f"{row['ratio']:.2f}",
                    (x, np.nanmax(tops)),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6,
                )
            shares = [row[f"closer_{attack}"] for attack in attacks]
            offset = (x - (len(models) - 1) / 2) * thickness
            below.barh(places + offset, shares, height=thickness, color=color)
        above.set_title(title)
        above.set_xticks(range(len(models)), models.values(), rotation=45, ha="right", rotation_mode="anchor")
        above.margins(y=0.12)
        above.set_ylim(bottom=0)
        below.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="Share of samples closer")
        below.set_yticks(places, attacks)
        below.tick_params(labelleft=below is axes[1, 0])
        below.invert_yaxis()
    axes[0, 0].set_ylabel("Mean minimal distance")
    light, full = (Patch(color="black", alpha=alpha) for alpha in (0.35, 0.9))
    names = ["The paper's attacks", "with stronger ones (number: ratio)"]
    fig.legend([light, full], names, loc="outside upper center", ncols=2)
    return fig
