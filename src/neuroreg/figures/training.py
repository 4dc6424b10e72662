"""How training went: gamma of every run, losses and validation accuracy by epoch."""

import math

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from neuroreg.analysis.checks import check_frame, check_unique, gamma_columns
from neuroreg.figures.style import condition_colors, new_figure, stamp_simulated, style

_MEASURES = {
    "task_loss": "Task loss",
    "similarity_loss": "Similarity loss",
    "validation_loss": "Validation loss",
    "validation_accuracy": "Validation accuracy",
}
_PER_ROW = 4


def training_figure(histories: pd.DataFrame, note: str = "") -> tuple[Figure, pd.DataFrame]:
    """Draw gamma against epoch, one panel per model, and below it losses and validation accuracy of all runs.

    Parameters
    ----------
    histories
        Columns model, seed, epoch, task_loss, similarity_loss (may be NaN: no regulariser), validation_loss,
        validation_accuracy (in [0, 1]), and gamma_1, gamma_5, ... (one per layer, in [0, 1]; may be NaN).
    note
        Stamped on the figure if not empty, see `stamp_simulated`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        The columns drawn, sorted by model (in the order of appearance), seed and epoch.

    Raises
    ------
    InputError
        If a column is missing, the frame is empty, or a run has an epoch twice.
    """
    what = "histories"
    gammas = gamma_columns(histories)
    check_frame(histories, what, ["model", *_MEASURES, *(gammas or ["gamma_1"])], ["seed", "epoch"])
    check_unique(histories, what, ["model", "seed", "epoch"])
    models = list(dict.fromkeys(histories["model"]))
    rank = histories["model"].map({model: index for index, model in enumerate(models)})
    numbers = histories.assign(rank=rank).sort_values(["rank", "seed", "epoch"])
    numbers = numbers[["model", "seed", "epoch", *_MEASURES, *gammas]].reset_index(drop=True)
    rows = math.ceil(len(models) / _PER_ROW)
    with style():
        fig = new_figure(2, 1.35 * rows + 1.75)
        gamma_part, measure_part = fig.add_gridspec(2, 1, height_ratios=(rows, 1.2))
        _draw_gammas(fig, gamma_part.subgridspec(rows, _PER_ROW), numbers, models, gammas)
        colors = condition_colors(models)
        for cell, (measure, title) in zip(measure_part.subgridspec(1, 4), _MEASURES.items(), strict=True):
            ax = fig.add_subplot(cell)
            for model, color in zip(models, colors, strict=True):
                _draw_runs(ax, numbers[numbers["model"] == model], measure, color, str(model))
            ax.set(title=title, xlabel="Epoch")
            if measure == "validation_accuracy":
                ax.set_ylim(0, 1)
            elif measure != "similarity_loss":
                ax.set_yscale("log")  # from hundreds in the first epoch to hundredths
                ax.yaxis.set_major_formatter(LogFormatter())
                ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        handles, labels = ax.get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside upper center", ncols=min(len(models), 6))
        stamp_simulated(fig, note)
    return fig, numbers


def _draw_runs(ax: Axes, part: pd.DataFrame, column: str, color, label: str) -> None:
    """Draw one thin line per seed; the first one carries the label."""
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    for index, (_, run) in enumerate(part.groupby("seed")):
        ax.plot(run["epoch"], run[column], color=color, linewidth=0.8, label=label if index == 0 else "_")


def _draw_gammas(fig: Figure, cells, numbers: pd.DataFrame, models: list[str], gammas: list[str]) -> None:
    colors = sns.color_palette("plasma", len(gammas) + 1)[: len(gammas)]  # its last is too pale on white
    for index, model in enumerate(models):
        ax = fig.add_subplot(cells[index // _PER_ROW, index % _PER_ROW])
        for name, color in zip(gammas, colors, strict=True):
            part = numbers[numbers["model"] == model]
            _draw_runs(ax, part, name, color, f"layer {name.removeprefix('gamma_')}")
        ax.set(title=model, ylim=(-0.03, 1.03))
        if index % _PER_ROW == 0:
            ax.set_ylabel("Weight γ")
        else:
            ax.set_yticklabels([])
        if index == 0:
            ax.legend(handlelength=1, labelspacing=0.2, fontsize=6)
