"""Accuracy against noise for the conditions None, Shuffle, Neural: mean and SEM over seeds."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuroreg.errors import InputError
from neuroreg.figures.checks import check_frame, check_unique, select_models
from neuroreg.figures.style import condition_colors, new_figure, stamp_simulated, style
from neuroreg.figures.tables import ONE_SEED, OVER_SEEDS

_WHAT = "noise accuracies"


def noise_curves(noise: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return accuracy against noise per seed, and its mean and SEM over seeds.

    Parameters
    ----------
    noise
        Columns `by`, seed, sigma (standard deviation of the noise, pixels in [0, 1]), accuracy (in [0, 1]),
        n (noisy images: test images x draws).
    by
        The column that tells the curves apart.

    Returns
    -------
    pandas.DataFrame
        Columns `by`, level, seed (missing where `level` is ``over seeds``), sigma, accuracy, sem (sample
        standard deviation over seeds / sqrt(seeds); NaN for one seed), seeds, n (noisy images of one run).

    Raises
    ------
    InputError
        If a column is missing, the frame is empty, a value is out of range, a row comes twice, or a seed
        lacks a noise level that another seed of its curve has.
    """
    check_frame(noise, _WHAT, [by], ["seed", "sigma", "accuracy", "n"])
    if not noise["accuracy"].between(0, 1).all():
        raise InputError(
            f"{_WHAT}: accuracy ranges from {noise['accuracy'].min()} to {noise['accuracy'].max()}; "
            "expected values in [0, 1]."
        )
    if (noise["sigma"] < 0).any():
        raise InputError(f"{_WHAT}: sigma is {noise['sigma'].min()}; expected values of 0 or more.")
    check_unique(noise, _WHAT, [by, "seed", "sigma"])
    for name, curve in noise.groupby(by):
        if len(curve) != curve["seed"].nunique() * curve["sigma"].nunique():
            raise InputError(
                f"{_WHAT}: the seeds of {by} {name} differ in their sigma; expected the same in all."
            )
    columns = [by, "level", "seed", "sigma", "accuracy", "sem", "seeds", "n"]
    runs = noise.assign(level=ONE_SEED, sem=float("nan"), seeds=1)[columns]
    groups = noise.groupby([by, "sigma"], sort=False)
    means = groups.agg(
        accuracy=("accuracy", "mean"), sem=("accuracy", "sem"), seeds=("seed", "size"), n=("n", "min")
    ).reset_index()
    means = means.assign(level=OVER_SEEDS, seed=pd.NA)[columns]
    kinds = {"seed": "Int64", "sem": "float64"}
    curves = pd.concat([means.astype(kinds), runs.astype(kinds)], ignore_index=True)
    rank = curves[by].map({name: index for index, name in enumerate(dict.fromkeys(noise[by]))})
    # OVER_SEEDS sorts behind ONE_SEED; the mean comes first in the file.
    curves = curves.assign(rank=rank, single=curves["level"] == ONE_SEED)
    curves = curves.sort_values(["rank", "single", "seed", "sigma"])
    return curves[columns].reset_index(drop=True)


def label_axes(ax: Axes) -> None:
    """Name the axes of an accuracy-against-noise panel; let accuracy start at 0, so that heights compare."""
    ax.set(
        xlabel="Standard deviation of the noise (pixels in [0, 1])", ylabel="Accuracy (share of noisy images)"
    )
    ax.set_ylim(0, 1)
    ax.margins(x=0.02)


def noise_figure(
    noise: pd.DataFrame, models: Mapping[str, str], note: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against noise, one curve per model: mean over seeds, band of one SEM to either side.

    Parameters
    ----------
    noise
        Columns model, seed, sigma, accuracy, n; other models than those named are left out.
    models
        Model name to display label, in the order of the legend.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.

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
    check_frame(noise, _WHAT, ["model"])
    rank = {name: index for index, name in enumerate(models)}
    chosen = select_models(noise, _WHAT, models)
    chosen = chosen.sort_values("model", key=lambda names: names.map(rank), kind="stable")
    curves = noise_curves(chosen, "model")
    curves.insert(1, "label", curves["model"].map(models))
    with style():
        fig = new_figure(1.3, 2.8)
        ax = fig.add_subplot()
        for (model, label), color in zip(
            models.items(), condition_colors(list(models.values())), strict=True
        ):
            mean = curves[(curves["model"] == model) & (curves["level"] == OVER_SEEDS)]
            seeds = int(mean["seeds"].iloc[0])
            text = f"{label} ({seeds} seed{'s' if seeds > 1 else ''})"
            ax.plot(mean["sigma"], mean["accuracy"], color=color, marker="o", markersize=2.5, label=text)
            if seeds > 1:
                low, high = mean["accuracy"] - mean["sem"], mean["accuracy"] + mean["sem"]
                ax.fill_between(mean["sigma"], low, high, color=color, alpha=0.25, linewidth=0)
        label_axes(ax)
        fig.legend(loc="outside right upper")
        stamp_simulated(fig, note)
    return fig, curves
