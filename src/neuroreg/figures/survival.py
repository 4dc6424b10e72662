"""Accuracy against the size of the perturbation: how many samples no attack has reached within a distance."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuroreg.analysis.checks import check_distances
from neuroreg.analysis.distances import ONE_SEED, OVER_SEEDS, distance_matrix
from neuroreg.figures.latex import NORM_LABELS
from neuroreg.figures.lettering import drawn, legend_above
from neuroreg.figures.style import condition_colors, new_figure, stamp_simulated, style

POINTS = 201
# Of the distances found; the last few samples would stretch the axis for all.
SHOWN = 98  # per cent


def survival_figure(
    distances: pd.DataFrame, models: Mapping[str, str], note: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against distance, one panel per norm, one curve per condition.

    Accuracy at a distance is the share of samples whose minimal adversarial distance is larger:
    misclassified ones (distance 0) are lost from the start, those without an adversarial (inf) never. Thick
    lines are means over seeds, thin ones single seeds. All curves of a panel are taken at the same
    distances: `POINTS` from 0 to where `SHOWN` per cent of the distances of every condition end, for L0 at
    whole pixels.

    Parameters
    ----------
    distances
        Columns model, seed, sample, correct, norm, distance, attack; see `check_distances`.
    models
        Model name to display label, in the order of the legend.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        Every point drawn: norm, model, label, level (``one seed`` or ``over seeds``), seed, seeds, distance
        (pixels in [0, 1]; L0 in pixels), accuracy in [0, 1], n (samples of all seeds counted).

    Raises
    ------
    InputError
        As `check_distances`.
    """
    distances = check_distances(distances, models)
    parts = []
    for norm in NORM_LABELS:
        matrices = {model: distance_matrix(distances, model, norm) for model in models}
        at = _axis(norm, [distance for distance, _, _ in matrices.values()])
        for model, label in models.items():
            distance, _, seeds = matrices[model]
            per_seed = np.stack([_accuracy(row, at) for row in distance])
            head = {"norm": norm, "model": model, "label": label}
            points = {"distance": at}
            mean = {"seeds": len(seeds), **points, "accuracy": per_seed.mean(axis=0), "n": distance.size}
            parts.append(pd.DataFrame({**head, "level": OVER_SEEDS, "seed": None, **mean}))
            for seed, accuracy in zip(seeds, per_seed, strict=True):
                one = {"seeds": 1, **points, "accuracy": accuracy, "n": distance.shape[1]}
                parts.append(pd.DataFrame({**head, "level": ONE_SEED, "seed": int(seed), **one}))
    numbers = pd.concat([part.astype({"seed": "Int64"}) for part in parts], ignore_index=True)
    with style(models.values()):
        fig = _draw(numbers, models)
        stamp_simulated(fig, note)
    return fig, numbers


def _accuracy(distance: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the share of `distance` that is above each of `at`."""
    return 1 - np.searchsorted(np.sort(distance), at, side="right") / len(distance)


def _axis(norm: str, distances: list[np.ndarray]) -> np.ndarray:
    found = [distance[np.isfinite(distance)] for distance in distances]
    ends = [np.percentile(values, SHOWN) for values in found if len(values)]
    end = max(ends, default=0.0) or 1.0
    return np.arange(np.ceil(end) + 1) if norm == "l0" else np.linspace(0, end, POINTS)


def _draw(numbers: pd.DataFrame, models: Mapping[str, str]) -> Figure:
    fig = new_figure(2, 2.1)
    colors = condition_colors(list(models.values()))
    axes = fig.subplots(1, len(NORM_LABELS), sharey=True)
    for ax, (norm, title) in zip(axes, NORM_LABELS.items(), strict=True):
        lines, texts = [], []
        for (model, label), color in zip(models.items(), colors, strict=True):
            rows = numbers[(numbers["norm"] == norm) & (numbers["model"] == model)]
            drawstyle = "steps-post" if norm == "l0" else "default"
            single = rows[rows["level"] == ONE_SEED]
            for _, run in single.groupby("seed"):
                ax.plot(run["distance"], run["accuracy"], color=color, lw=0.5, alpha=0.5, drawstyle=drawstyle)
            mean = rows[rows["level"] == OVER_SEEDS]
            seeds = mean["seeds"].iloc[0]
            texts.append(f"{drawn(label)} ({seeds} seed{'s' if seeds > 1 else ''})")
            lines += ax.plot(mean["distance"], mean["accuracy"], color=color, drawstyle=drawstyle)
        ax.set(title=title, xlabel="Changed pixels" if norm == "l0" else "Distance")
        ax.set_ylim(0, 1.02)
        ax.set_xlim(left=0)
        ax.locator_params(axis="x", nbins=4)
    axes[0].set_ylabel("Accuracy")
    legend_above(fig, lines, texts)
    return fig
