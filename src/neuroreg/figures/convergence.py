"""Mean minimal distances against the effort of the search."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from neuroreg.analysis.checks import check_frame, select_models
from neuroreg.figures.latex import NORM_LABELS
from neuroreg.figures.lettering import legend_above
from neuroreg.figures.style import condition_colors, new_figure, stamp_simulated, style

_AXES = {
    "repetitions": "Repetitions",
    "settings": "Settings, at random",
    "budget": "Passes",
}
MISSED = 0.01  # share of the attacked samples


def convergence_figure(table: pd.DataFrame, models: Mapping[str, str], note: str = "") -> Figure:
    """Draw mean minimal distance against repetitions, settings and passes: three rows, four norms.

    The row of repetitions is left out where there is but one.

    One curve per condition, and a thin one for its bound, the mean with those not found at the largest
    distance possible, as far as the axis, which follows the means, shows it. Curves are dotted as long as
    more than `MISSED` of the attacked samples are without the adversarial that they have in the end, so that
    the mean lacks the hard ones. Each panel but those of passes says by how much its last step lowers the
    mean, at most over conditions.

    Parameters
    ----------
    table
        As `neuroreg.analysis.convergence.convergence` returns it.
    models
        Model name to display label, in the order of the legend.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.

    Raises
    ------
    InputError
        If a column or a model is missing, or there are no rows.
    """
    what = "convergence"
    check_frame(table, what, ["norm", "model", "axis", "mean", "bound"], ["count", "not_found", "n_correct"])
    table = select_models(table, what, models)
    shown = _AXES.copy()
    if table.loc[table["axis"] == "repetitions", "count"].max() == 1:
        del shown["repetitions"]
    with style(models.values()):
        fig = new_figure(2, 0.6 + 1.4 * len(shown))
        grid = fig.subplots(len(shown), len(NORM_LABELS))
        colors = condition_colors(list(models.values()))
        for line, (axis, name) in zip(grid, shown.items(), strict=True):
            for ax, norm in zip(line, NORM_LABELS, strict=True):
                rows = table[(table["norm"] == norm) & (table["axis"] == axis)]
                curves = [
                    _draw_curve(ax, rows[rows["model"] == model], axis, color)
                    for model, color in zip(models, colors, strict=True)
                ]
                ax.set_xlabel(name)
                ax.margins(y=0.1)
                ax.set_ylim(0, ax.get_ylim()[1])
                for model, color in zip(models, colors, strict=True):
                    curve = rows[rows["model"] == model]
                    x = curve["passes" if axis == "budget" else "count"]
                    ax.plot(x, curve["bound"], color=color, linewidth=0.6, zorder=1)
                if axis == "repetitions":
                    ax.set_xlim(0.5, rows["count"].max() + 0.5)
                    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
                else:
                    _log_scale(ax)
                gain = rows.groupby("model")["gain"].last().max()
                if axis != "budget" and not np.isnan(gain):
                    text = f"the last: −{max(100 * gain, 0):.2g} %"
                    ax.set_ylim(0, 1.18 * ax.get_ylim()[1])  # room above all curves
                    ax.text(0.98, 0.97, text, transform=ax.transAxes, ha="right", va="top", fontsize=6.5)
        fig.supylabel("Mean minimal distance", fontsize=8)
        for ax, title in zip(grid[0], NORM_LABELS.values(), strict=True):
            ax.set_title(title)
        legend_above(fig, curves, models.values())
        stamp_simulated(fig, note)
    return fig


def _log_scale(ax: Axes) -> None:
    """Show so few numbers, and so short ones, that a narrow panel has room for them, whatever its range."""
    shown = np.concatenate([line.get_xdata() for line in ax.lines])
    if np.ptp(shown) == 0:
        ax.set_xticks(shown[:1])
        return
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    few = MaxNLocator(3, integer=True, min_n_ticks=1)
    locator = few if high < 10 * low else LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,))
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _draw_curve(ax: Axes, rows: pd.DataFrame, axis: str, color: tuple) -> Line2D:
    x, y = rows["passes" if axis == "budget" else "count"], rows["mean"]
    late = (rows["not_found"] - rows["not_found"].iloc[-1]) / rows["n_correct"] > MISSED
    dotted = int(late.sum())  # the first ones: what is found once stays found
    look = {"color": color, "marker": "o" if len(rows) < 10 else None, "markersize": 3}
    ax.plot(x[: dotted + 1], y[: dotted + 1], linestyle=":", **look)  # type: ignore[arg-type]
    return ax.plot(x[dotted:], y[dotted:], **look)[0]  # type: ignore[arg-type]
