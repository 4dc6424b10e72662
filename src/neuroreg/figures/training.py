"""How training went: gamma of every run, losses and validation accuracy by epoch."""

import math
from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter, MaxNLocator

from neuroreg.analysis.checks import check_frame, check_unique, gamma_columns, select_models
from neuroreg.figures.lettering import LITERAL, legend_above, wrapped
from neuroreg.figures.style import condition_colors, new_figure, stamp_simulated, style

_MEASURES = {
    "task_loss": "Task loss",
    "similarity_loss": "Similarity loss",
    "validation_loss": "Validation loss",
    "validation_accuracy": "Validation accuracy",
}
_PER_ROW = 4
TITLE = 22  # letters over one of them


def training_figure(
    histories: pd.DataFrame, models: Mapping[str, str], note: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """Draw gamma against epoch, one panel per model, and below it losses and validation accuracy of all runs.

    Parameters
    ----------
    histories
        Columns model, seed, epoch, task_loss, similarity_loss (may be NaN: no regulariser), validation_loss,
        validation_accuracy (in [0, 1]), and gamma_1, gamma_5, ... (one per layer, in [0, 1]; may be NaN).
    models
        Model name to display label, in the order of the panels.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        The columns drawn and each model's label, sorted by model (in the order of `models`), seed and epoch.

    Raises
    ------
    InputError
        If a column is missing, the frame is empty, a model has no rows, or a run has an epoch twice.
    """
    what = "histories"
    gammas = gamma_columns(histories)
    check_frame(histories, what, ["model", *_MEASURES, *(gammas or ["gamma_1"])], ["seed", "epoch"])
    check_unique(histories, what, ["model", "seed", "epoch"])
    rank = {model: index for index, model in enumerate(models)}
    numbers = select_models(histories, what, models)
    numbers = numbers.assign(rank=numbers["model"].map(rank), label=numbers["model"].map(models))
    numbers = numbers.sort_values(["rank", "seed", "epoch"])
    numbers = numbers[["model", "label", "seed", "epoch", *_MEASURES, *gammas]].reset_index(drop=True)
    rows = math.ceil(len(models) / _PER_ROW)
    with style(models.values()):
        lines = max(wrapped(label, TITLE).count("\n") for label in models.values())
        fig = new_figure(2, (1.35 + 0.14 * lines) * rows + 1.75)
        gamma_part, measure_part = fig.add_gridspec(2, 1, height_ratios=(rows, 1.2))
        _draw_gammas(fig, gamma_part.subgridspec(rows, _PER_ROW), numbers, models, gammas)
        colors = condition_colors(list(models.values()))
        for cell, (measure, title) in zip(measure_part.subgridspec(1, 4), _MEASURES.items(), strict=True):
            ax = fig.add_subplot(cell)
            lines = [
                _draw_runs(ax, numbers[numbers["model"] == model], measure, color)
                for model, color in zip(models, colors, strict=True)
            ]
            ax.set(title=title, xlabel="Epoch")
            if measure == "validation_accuracy":
                ax.set_ylim(0, 1)
            elif measure != "similarity_loss":
                ax.set_yscale("log")  # from hundreds in the first epoch to hundredths
                ax.yaxis.set_major_formatter(LogFormatter())
                ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        legend_above(fig, lines, models.values())
        stamp_simulated(fig, note)
    return fig, numbers


def _point(run: pd.DataFrame) -> str | None:
    """Return the marker of a run: a line of one epoch shows nothing."""
    return "o" if len(run) == 1 else None


def _draw_runs(ax: Axes, part: pd.DataFrame, column: str, color) -> Line2D:
    """Draw one thin line per seed; return the first."""
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    lines = [
        line
        for _, run in part.groupby("seed")
        for line in ax.plot(
            run["epoch"], run[column], color=color, linewidth=0.8, markersize=2.5, marker=_point(run)
        )
    ]
    return lines[0]


def _draw_gammas(
    fig: Figure, cells, numbers: pd.DataFrame, models: Mapping[str, str], gammas: list[str]
) -> None:
    colors = sns.color_palette("plasma", len(gammas) + 1)[: len(gammas)]  # its last is too pale on white
    for index, (model, label) in enumerate(models.items()):
        ax = fig.add_subplot(cells[index // _PER_ROW, index % _PER_ROW])
        part = numbers[numbers["model"] == model]
        lines = [_draw_runs(ax, part, name, color) for name, color in zip(gammas, colors, strict=True)]
        ax.set_title(wrapped(label, TITLE), **LITERAL)
        ax.set_ylim(-0.03, 1.03)
        if index % _PER_ROW == 0:
            ax.set_ylabel("Weight γ")
        else:
            ax.set_yticklabels([])
        if index == 0:
            layers = [f"layer {name.removeprefix('gamma_')}" for name in gammas]
            ax.legend(lines, layers, handlelength=1, labelspacing=0.2, fontsize=6)
