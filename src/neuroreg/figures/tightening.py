"""How far the paper's attacks were from the smallest distance that stronger attacks know of."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from neuroreg.analysis.checks import check_distances, check_frame
from neuroreg.analysis.distances import SharedSeeds, stack_distances
from neuroreg.analysis.intervals import contrast, positive
from neuroreg.analysis.linear import linear_logarithms, linear_means
from neuroreg.errors import InputError
from neuroreg.figures.latex import NORM_LABELS
from neuroreg.figures.lettering import LITERAL, wrapped
from neuroreg.figures.style import (
    condition_colors,
    new_figure,
    not_found_line,
    slant_labels,
    stamp_simulated,
    style,
)


def tightening_figure(
    distances: pd.DataFrame,
    models: Mapping[str, str],
    attacks: Sequence[str],
    note: str = "",
    apart: Collection[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw the mean minimal distance of the paper's attacks beside that with stronger ones, per norm.

    Above, pairs of bars: means over samples (misclassified ones count 0) and seeds, with 95 % intervals as in
    `fig2`, and their ratio. Both are over the samples for which the
    paper's attacks found an adversarial; where there are others, the panel says for how many, and what the
    two means are at most. Below, for each stronger attack, the share of these samples, of the
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
    apart
        Models that share their seeds with no other, see `neuroreg.analysis.distances.sharing_seeds`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        One row per norm and model: norm, model, label, seeds, n (distances that count); mean (the paper's
        attacks), tightened (with the stronger ones) and ratio (of the two), each followed by the ends of its
        interval, as in mean_low and mean_high; mean_bound, tightened_bound and ratio_bound, the same over all
        samples with the largest distance possible in place of those not found; not_found and
        tightened_not_found (samples without an adversarial); n_correct (samples attacked); for each attack
        ``closer_<attack>``, the share drawn below.

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
        compared = {}
        for group in stack_distances(distances, models, norm, apart):
            further = (
                stack_distances(distances.assign(distance=distances[name]), group.models, norm)[0].distance
                for name in ("tightened", *columns)
            )
            compared.update(_compare(group, next(further), dict(zip(columns, further, strict=True))))
        rows += [
            {"norm": norm, "model": model, "label": label, **compared[model]}
            for model, label in models.items()
        ]
    numbers = pd.DataFrame(rows)
    with style(models.values()):
        fig = _draw(numbers, models, attacks)
        stamp_simulated(fig, note)
    return fig, numbers


def _compare(
    paper: SharedSeeds, best: np.ndarray, alone: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each model of a group and its numbers under one norm.

    `best` and the values of `alone` are float64 (models, seeds, samples), as `paper.distance`.
    """
    counted = np.isfinite(paper.distance)
    before, after = (linear_means(values, counted) for values in (paper.distance, best))
    relative = linear_logarithms(after) - linear_logarithms(before)
    bounds = {
        "mean": paper.bounded().mean(axis=(1, 2)),
        "tightened": paper.bounded(best).mean(axis=(1, 2)),
    }
    bounds["ratio"] = bounds["tightened"] / np.where(bounds["mean"] > 0, bounds["mean"], np.nan)
    tried = counted & paper.correct
    for index, model in enumerate(paper.models):
        weights = np.eye(len(paper.models))[index]
        ratio = np.exp(contrast(relative, weights)[:3])
        ratio[2] = min(ratio[2], 1.0)  # more attacks find nothing farther off
        yield (
            model,
            {
                "seeds": len(paper.seeds),
                "n": int(counted[index].sum()),
                **_with_ends("mean", positive(before, weights)),
                **_with_ends("tightened", positive(after, weights)),
                **_with_ends("ratio", ratio),  # type: ignore[arg-type]
                **{f"{name}_bound": float(bound[index]) for name, bound in bounds.items()},
                "n_correct": int(paper.correct[index].sum()),
                "not_found": int((~counted[index]).sum()),
                "tightened_not_found": int(np.isinf(best[index]).sum()),
                **{
                    name.replace("distance_", "closer_", 1): _share(
                        values[index] < paper.distance[index], tried[index]
                    )
                    for name, values in alone.items()
                },
            },
        )


def _share(which: np.ndarray, among: np.ndarray) -> float:
    return float(which[among].mean()) if among.any() else np.nan


def _with_ends(name: str, interval: Sequence[float]) -> dict[str, float]:
    """Return an estimate and the ends of its interval by the names of their columns."""
    estimate, low, high = map(float, interval[:3])
    return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _draw(numbers: pd.DataFrame, models: Mapping[str, str], attacks: Sequence[str]) -> Figure:
    bars = 0.3 + 0.06 * len(attacks) * (len(models) + 1)  # inches
    fig = new_figure(2, 2.4 + bars)
    axes = fig.subplots(2, len(NORM_LABELS), height_ratios=[1.4, bars])
    colors = condition_colors(list(models.values()))
    places = np.arange(len(attacks))
    thickness = 0.8 / len(models)
    most_lines = 0
    for above, below, (norm, title) in zip(*axes, NORM_LABELS.items(), strict=True):
        lines = []
        for x, (model, color) in enumerate(zip(models, colors, strict=True)):
            row = numbers[(numbers["norm"] == norm) & (numbers["model"] == model)].iloc[0]
            for at, name, alpha in ((x - 0.2, "mean", 0.35), (x + 0.2, "tightened", 0.9)):
                above.bar(at, row[name], width=0.38, color=color, alpha=alpha)
                if np.isnan(row[f"{name}_low"]):
                    continue
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
            if row["not_found"]:
                line = not_found_line(models[model], row["not_found"], row["n_correct"], row["mean_bound"])
                lines.append(f"{line}, {row['tightened_bound']:.3g}")
            shares = [row[f"closer_{attack}"] for attack in attacks]
            offset = (x - (len(models) - 1) / 2) * thickness
            below.barh(places + offset, shares, height=thickness, color=color)
        above.set_title(title)
        above.set_xticks(range(len(models)), map(wrapped, models.values()), **LITERAL)
        slant_labels(above)
        if lines:
            text = "No adversarial found: means\n" + "\n".join(lines)
            above.set_xlabel(text, fontsize=5.5, color="#a02020", **LITERAL)
            most_lines = max(most_lines, text.count("\n") + 1)
        above.margins(y=0.12)
        above.set_ylim(bottom=0)
        below.set(xlim=(0, 1), xticks=(0, 0.5, 1))
        below.set_yticks(places, attacks, **LITERAL)
        below.tick_params(labelleft=below is axes[1, 0])
        below.invert_yaxis()
    axes[0, 0].set_ylabel("Mean minimal distance")
    fig.supxlabel("Share of samples closer", fontsize=8)
    fig.set_figheight(2.4 + bars + 0.1 * most_lines)
    light, full = (Patch(color="black", alpha=alpha) for alpha in (0.35, 0.9))
    names = ["The paper's attacks", "with stronger ones (number: ratio)"]
    fig.legend([light, full], names, loc="outside upper center", ncols=2)
    return fig
