"""Accuracy against noise: the supplement's Fig. 1, a curve for each alpha, and one for each condition."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuroreg.analysis.checks import select_models
from neuroreg.analysis.distances import ONE_SEED, OVER_SEEDS
from neuroreg.analysis.noise import NOISE, noise_curves
from neuroreg.errors import InputError
from neuroreg.figures.lettering import drawn, legend_beside
from neuroreg.figures.style import alpha_colors, condition_colors, new_figure, stamp_simulated, style
from neuroreg.robustness.noise_counts import NoiseCounts


def fig1(
    counts: Sequence[NoiseCounts], runs: Sequence[Mapping], note: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against noise per alpha: a thin line per seed, a thick one for their mean.

    Parameters
    ----------
    counts
        One per run.
    runs
        For each, model, alpha (>= 0) and seed. One model per alpha, whatever similarity each shares.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        As `noise_curves`, by alpha, with the column model in front.

    Raises
    ------
    InputError
        As `noise_curves`; and if two models have the same alpha.
    """
    pairs = sorted({(run["alpha"], run["model"]) for run in runs})
    alphas = Counter(alpha for alpha, _ in pairs)
    twice = [model for alpha, model in pairs if alphas[alpha] > 1]
    if twice:
        raise InputError(
            f"{NOISE}: the models {', '.join(twice)} share an alpha; expected one model per alpha."
        )
    order = sorted(range(len(runs)), key=lambda index: runs[index]["alpha"])
    curves = noise_curves([counts[index] for index in order], [runs[index] for index in order], "alpha")
    curves.insert(0, "model", curves["alpha"].map(dict(pairs)))
    with style():
        fig = new_figure(1.3, 2.8)
        ax = fig.add_subplot()
        points: dict[str, Any] = {
            "marker": "o" if curves["sigma"].nunique() == 1 else None,
            "markersize": 2.5,
        }
        for alpha, color in alpha_colors(curves["alpha"]).items():
            curve = curves[curves["alpha"] == alpha]
            for _, run in curve[curve["level"] == ONE_SEED].groupby("seed"):
                ax.plot(run["sigma"], run["accuracy"], color=color, linewidth=0.5, alpha=0.6, **points)
            mean = curve[curve["level"] == OVER_SEEDS]
            seeds = int(mean["seeds"].iloc[0])
            text = f"{alpha:g} ({seeds} seed{'s' if seeds > 1 else ''})"
            ax.plot(mean["sigma"], mean["accuracy"], color=color, label=text, **points)
        _label_axes(ax)
        handles, texts = ax.get_legend_handles_labels()
        legend_beside(fig, handles, texts, title="α", alignment="left")
        stamp_simulated(fig, note)
    return fig, curves


def noise_figure(
    counts: Sequence[NoiseCounts],
    runs: Sequence[Mapping],
    models: Mapping[str, str],
    note: str = "",
    apart: Collection[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against noise, one curve per model: mean over seeds, band of its 95 % interval.

    Parameters
    ----------
    counts
        One per run.
    runs
        For each, model and seed; other models than those named are left out.
    models
        Model name to display label, in the order of the legend.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.
    apart
        Models that share their seeds with no other, see `neuroreg.analysis.distances.sharing_seeds`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        As `noise_curves`, with the column label after model.

    Raises
    ------
    InputError
        As `noise_curves`; and if a named model is absent.
    """
    select_models(pd.DataFrame(list(runs), columns=["model", "seed"]), NOISE, models)
    rank = {name: index for index, name in enumerate(models)}
    order = [index for index, run in enumerate(runs) if run["model"] in rank]
    order.sort(key=lambda index: rank[runs[index]["model"]])
    chosen = [counts[index] for index in order], [runs[index] for index in order]
    curves = noise_curves(*chosen, "model", apart)
    curves.insert(1, "label", curves["model"].map(models))
    with style(models.values()):
        fig = new_figure(1.3, 2.8)
        ax = fig.add_subplot()
        lines, texts = [], []
        for (model, label), color in zip(
            models.items(), condition_colors(list(models.values())), strict=True
        ):
            mean = curves[(curves["model"] == model) & (curves["level"] == OVER_SEEDS)]
            seeds = int(mean["seeds"].iloc[0])
            texts.append(f"{drawn(label)} ({seeds} seed{'s' if seeds > 1 else ''})")
            lines += ax.plot(mean["sigma"], mean["accuracy"], color=color, marker="o", markersize=2.5)
            if seeds > 1:
                ax.fill_between(mean["sigma"], mean["low"], mean["high"], color=color, alpha=0.2, linewidth=0)
        _label_axes(ax)
        legend_beside(fig, lines, texts)
        stamp_simulated(fig, note)
    return fig, curves


def _label_axes(ax: Axes) -> None:
    """Name the axes of an accuracy-against-noise panel; let accuracy start at 0, so that heights compare."""
    ax.set(
        xlabel="Standard deviation of the noise (pixels in [0, 1])", ylabel="Accuracy (share of noisy images)"
    )
    ax.set_ylim(0, 1)
    ax.margins(x=0.02)
