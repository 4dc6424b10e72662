"""The supplement's Fig. 2: minimal adversarial distance of each condition under four norms."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuroreg.analysis.checks import check_distances
from neuroreg.analysis.distances import ONE_SEED, OVER_SEEDS, distance_statistics
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


def fig2(
    distances: pd.DataFrame, models: Mapping[str, str], note: str = "", apart: Collection[str] = ()
) -> tuple[Figure, pd.DataFrame]:
    """Draw the mean minimal adversarial distance per condition in four panels: L0, L1, L2, Linf.

    Bars are means over all samples (misclassified ones count 0) and seeds, whiskers their 95 % intervals
    (`neuroreg.analysis.intervals`; none with one seed), dots the means of single seeds. Where
    an adversarial was not found for some samples, the bar is the mean of the others; an outline goes up to
    the bound, the mean with these at the largest distance possible, and the panel names both their share and
    the bound. The axis follows the bars, so that an outline may end at its top.

    Parameters
    ----------
    distances
        Columns model, seed, sample, correct, norm, distance, attack; see `check_distances`.
    models
        Model name to display label, in the order of the bars.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.
    apart
        Models that share their seeds with no other, see `neuroreg.analysis.distances.sharing_seeds`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        As `distance_statistics`; both conventions, ``all`` being the one drawn.

    Raises
    ------
    InputError
        As `check_distances`.
    """
    distances = check_distances(distances, models)
    numbers = distance_statistics(distances, models, apart)
    with style(models.values()):
        fig = _draw(numbers, models)
        stamp_simulated(fig, note)
    return fig, numbers


def _draw(numbers: pd.DataFrame, models: Mapping[str, str]) -> Figure:
    names = list(map(wrapped, models.values()))
    longest = max(len(line) for name in names for line in name.split("\n"))
    slanted = longest * len(models) > 24
    fig = new_figure(2, 1.9)
    below = 0  # lines under a panel
    colors = condition_colors(list(models.values()))
    counted = numbers[numbers["samples"] == "all"]
    for ax, (norm, title) in zip(fig.subplots(1, len(NORM_LABELS)), NORM_LABELS.items(), strict=True):
        lines, outlines, tops = [], [], []
        for x, (model, label) in enumerate(models.items()):
            rows = counted[(counted["norm"] == norm) & (counted["model"] == model)]
            whole = rows[rows["level"] == OVER_SEEDS].iloc[0]
            if whole["not_found"]:
                lines.append(not_found_line(label, whole["not_found"], whole["n_correct"], whole["bound"]))
                outlines.append(
                    ax.bar(x, whole["bound"], width=0.7, fill=False, edgecolor=colors[x], linestyle=":")
                )
            if np.isnan(whole["mean"]):
                continue
            tops.append(np.nanmax([whole["mean"], whole["high"]]))
            ax.bar(x, whole["mean"], width=0.7, color=colors[x], alpha=0.55)
            if not np.isnan(whole["low"]):
                ax.vlines(x, whole["low"], whole["high"], color="black", linewidth=1)
            means = rows.loc[rows["level"] == ONE_SEED, "mean"].to_numpy()
            # Side by side in the order of the seeds, left of the whisker: neither hides the other.
            at = x + (np.linspace(-0.28, -0.1, len(means)) if len(means) > 1 else np.array([-0.19]))
            ax.plot(at, means, "o", color=colors[x], markersize=3, mec="white", mew=0.4)
            tops.append(np.nanmax(means))
        ax.set_title(title)
        ax.set_xticks(range(len(models)), names, **LITERAL)
        if slanted:
            slant_labels(ax)
        ax.set_xlim(-0.6, len(models) - 0.4)
        ax.set_ylim(bottom=0)
        if lines:
            if tops:
                highest = max(bar.get_height() for outline in outlines for bar in outline)
                # If all that counts is 0, the bound alone tells a scale.
                ax.set_ylim(top=min(1.05 * max(highest, *tops), 1.4 * max(tops) or highest))
            told = "No adversarial found: mean\n" + "\n".join(lines)
            below = max(below, told.count("\n") + 1)
            ax.set_xlabel(told, fontsize=6.5, color="#a02020", **LITERAL)
    fig.axes[0].set_ylabel("Mean minimal distance")
    # Text under the panels makes the figure higher, not the panels lower.
    fig.set_figheight(1.9 + 0.12 * below + (0.045 * longest if slanted else 0))
    return fig
