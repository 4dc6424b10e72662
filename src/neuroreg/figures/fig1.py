"""The supplement's Fig. 1: accuracy against noise, one curve per strength of the regulariser."""

import pandas as pd
from matplotlib.figure import Figure

from neuroreg.analysis.checks import check_frame
from neuroreg.analysis.distances import ONE_SEED, OVER_SEEDS
from neuroreg.analysis.noise import noise_curves
from neuroreg.errors import InputError
from neuroreg.figures.noise import label_axes
from neuroreg.figures.style import alpha_colors, new_figure, stamp_simulated, style


def fig1(noise: pd.DataFrame, note: str = "") -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against noise per alpha: a thin line per seed, a thick one for their mean.

    Parameters
    ----------
    noise
        Columns model, alpha (>= 0), seed, sigma (pixels in [0, 1]), accuracy (in [0, 1]), n (noisy images:
        test images x draws). One model per alpha: the caller leaves out other conditions such as Shuffle.
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
    check_frame(noise, "noise accuracies", ["model"], ["alpha"])
    pairs = noise[["alpha", "model"]].drop_duplicates().sort_values(["alpha", "model"])
    twice = pairs[pairs.duplicated("alpha", keep=False)]
    if len(twice):
        raise InputError(
            f"noise accuracies: the models {', '.join(map(str, twice['model']))} share an alpha; "
            "expected one model per alpha."
        )
    curves = noise_curves(noise.sort_values("alpha", kind="stable"), "alpha")
    curves.insert(0, "model", curves["alpha"].map(dict(zip(pairs["alpha"], pairs["model"], strict=True))))
    with style():
        fig = new_figure(1.3, 2.8)
        ax = fig.add_subplot()
        for alpha, color in alpha_colors(curves["alpha"]).items():
            curve = curves[curves["alpha"] == alpha]
            for _, run in curve[curve["level"] == ONE_SEED].groupby("seed"):
                ax.plot(run["sigma"], run["accuracy"], color=color, linewidth=0.5, alpha=0.6)
            mean = curve[curve["level"] == OVER_SEEDS]
            seeds = int(mean["seeds"].iloc[0])
            text = f"{alpha:g} ({seeds} seed{'s' if seeds > 1 else ''})"
            ax.plot(mean["sigma"], mean["accuracy"], color=color, label=text)
        label_axes(ax)
        fig.legend(loc="outside right upper", title="α", alignment="left")
        stamp_simulated(fig, note)
    return fig, curves
