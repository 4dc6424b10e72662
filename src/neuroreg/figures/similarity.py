"""How well similarity can be measured, and how well the response model predicts it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage

from neuroreg.analysis.checks import check_frame
from neuroreg.errors import InputError
from neuroreg.figures.lettering import LITERAL, wrapped
from neuroreg.figures.style import new_figure, stamp_simulated, style
from neuroreg.similarity.matrix import upper_triangle
from neuroreg.similarity.oracle import MODEL, SINGLE_TRIAL
from neuroreg.similarity.units import FEWEST_EFFECTIVE

PAPER_R = {SINGLE_TRIAL: 0.39, MODEL: 0.73}  # main text, on 100 oracle images
_TITLES = {"single_trial": "Single trial", "averaged": "Repeats averaged", "model": "Response model"}
# What is set against what in a scatter, and what its axes say.
_SCATTERS = {
    SINGLE_TRIAL: ("others_averaged", "single_trial", "Other repeats averaged", "Single trial"),
    MODEL: ("averaged", "model", "Averaged", "Model"),
}
_COLOR = "#0173b2"


def _check_square(name: str, matrix: np.ndarray, size: int | None = None) -> np.ndarray:
    matrix = np.asarray(matrix)
    wanted = "(n, n) with n > 2" if size is None else f"({size}, {size})"
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.shape[0] > 2
    if not square or size not in (None, len(matrix)):
        raise InputError(f"similarity {name}: has the shape {matrix.shape}; expected {wanted}.")
    if not np.isfinite(matrix).all():
        raise InputError(
            f"similarity {name}: has {(~np.isfinite(matrix)).sum()} values not finite; expected none."
        )
    return matrix


def cluster_order(similarity: np.ndarray) -> np.ndarray:
    """Return an order of the images, int (n,), that puts similar ones side by side.

    Average-linkage clustering of 1 - similarity, leaves in optimal order.
    """
    return leaves_list(linkage(1 - upper_triangle(similarity), "average", optimal_ordering=True))


def similarity_figure(
    matrices: Mapping[str, np.ndarray] | None,
    pool: np.ndarray,
    between_scans: pd.DataFrame,
    effective: pd.DataFrame,
    *,
    note: str = "",
    scan: str = "shown",
) -> tuple[Figure, pd.DataFrame]:
    """Draw one scan's similarity on the oracle images, the target over the pool, what is known of each scan.

    Parameters
    ----------
    matrices
        ``single_trial``, ``others_averaged`` (over the repeats but that trial), ``averaged`` (over all
        repeats) and ``model``: similarity of one scan's oracle images, each (n, n). Only entries above the
        diagonal enter the correlations: of single_trial with others_averaged, of model with averaged. None
        if no scan has repeated images: their panels are then left out.
    pool
        (Q, Q), the target similarity over the pool.
    between_scans
        Columns scan, comparison, r; without `matrices` it may have no row. The comparisons `SINGLE_TRIAL`
        and `MODEL` have the paper's value beside them; any other, such as the correlation of two scans'
        predicted similarity, is drawn by its name.
    effective
        Columns scan, units, neurons, effective: for each scan and each choice of units the number of neurons
        and on how many of them the similarity rests; both at least 0.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.
    scan
        Name of the scan that the matrices are from.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        Columns panel (``scatter``: computed from the matrices shown; ``scans`` and ``neurons``: as given),
        scan, comparison, r, paper, units, neurons, effective; empty where a panel has none.

    Raises
    ------
    InputError
        If a matrix is missing, not square, not of the others' size or not finite; or a frame lacks a column,
        has an r outside [-1, 1], or an effective number outside 0 to the number of neurons.
    """
    checked = {} if matrices is None else _check_matrices(matrices)
    pool = _check_square("pool", pool)
    if checked or len(between_scans):
        check_frame(between_scans, "correlations between scans", ["scan", "comparison"], ["r"])
    if not between_scans["r"].between(-1, 1).all():
        raise InputError(
            f"correlations between scans: r ranges from {between_scans['r'].min()} "
            f"to {between_scans['r'].max()}; expected values in [-1, 1]."
        )
    check_frame(effective, "effective neurons", ["scan", "units"], ["neurons", "effective"])
    if not effective["effective"].between(0, effective["neurons"] * (1 + 1e-9)).all():
        raise InputError(
            f"effective neurons: {effective['effective'].min():g} to {effective['effective'].max():g} of "
            f"{effective['neurons'].max():g}; expected 0 to the number of neurons."
        )
    pairs = {name: upper_triangle(matrix) for name, matrix in checked.items()}
    scatters = _SCATTERS if checked else {}
    own = [
        {"panel": "scatter", "scan": scan, "comparison": name, "r": np.corrcoef(pairs[x], pairs[y])[0, 1]}
        for name, (x, y, _, _) in scatters.items()
    ]
    rows = own + between_scans[["scan", "comparison", "r"]].assign(panel="scans").to_dict("records")
    numbers = pd.DataFrame(rows, columns=["panel", "scan", "comparison", "r"])
    numbers["paper"] = numbers["comparison"].map(PAPER_R).astype("float64")
    given = numbers[numbers["panel"] == "scans"]
    columns = ["scan", "units", "neurons", "effective"]
    numbers = pd.concat([numbers, effective[columns].assign(panel="neurons")], ignore_index=True)
    numbers["neurons"] = numbers["neurons"].astype("Int64")
    per_scan = 1 + (len(given) > 0)
    with style():
        if checked:
            fig = new_figure(2, 5.8)
            top, middle, bottom = fig.add_gridspec(3, 1, height_ratios=(1, 0.95, 0.6))
            _draw_matrices(fig, top.subgridspec(1, 3), {name: checked[name] for name in _TITLES}, scan)
            cells = [*middle.subgridspec(1, 3), *bottom.subgridspec(1, per_scan)]
        else:
            fig = new_figure(2, 2.4)
            cells = list(fig.add_gridspec(1, 1 + per_scan))
        axes = iter([fig.add_subplot(cell) for cell in cells])
        for row in own:
            of_scan = given[(given["scan"] == scan) & (given["comparison"] == row["comparison"])]["r"]
            _draw_scatter(next(axes), pairs, row["comparison"], row["r"], of_scan.max())
        _draw_pool(next(axes), pool)
        if len(given):
            _draw_scans(next(axes), given)
        _draw_neurons(next(axes), effective)
        stamp_simulated(fig, note)
    return fig, numbers


def _check_matrices(matrices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = ("single_trial", "others_averaged", "averaged", "model")
    missing = [name for name in names if name not in matrices]
    if missing:
        raise InputError(
            f"similarity: has the matrices {', '.join(matrices) or '(none)'}; "
            f"expected also {', '.join(missing)}."
        )
    size = len(_check_square("averaged", matrices["averaged"]))
    return {name: _check_square(name, matrices[name], size) for name in names}


def _draw_scatter(ax, pairs: Mapping[str, np.ndarray], comparison: str, r: float, of_scan: float) -> None:
    """Draw pairs; `r` is of those shown, `of_scan` of the scan, maybe a mean over choices, or NaN."""
    x, y, xlabel, ylabel = _SCATTERS[comparison]
    size = float(np.clip(100 / np.sqrt(len(pairs[x])), 1.5, 5))  # dots of few pairs must show
    ax.plot(
        pairs[x], pairs[y], ".", markersize=size, markeredgewidth=0, color=_COLOR, alpha=0.4,
        rasterized=True,
    )  # fmt: skip
    means = not np.isnan(of_scan) and f"{of_scan:.2f}" != f"{r:.2f}"
    ax.set_title(f"r = {of_scan if means else r:.2f} (paper {PAPER_R[comparison]:.2f})")
    if means:
        told = f"these trials: {r:.2f}"
        ax.text(0.97, 0.03, told, transform=ax.transAxes, ha="right", va="bottom", fontsize=6.5)
    ax.set(xlabel=xlabel, ylabel=ylabel)


def _draw_matrices(fig: Figure, cells, shown: Mapping[str, np.ndarray], scan: str) -> None:
    order = cluster_order(shown["averaged"])
    # The diagonal is 1 by construction: it must not set the scale.
    limit = max(float(np.quantile(np.abs(upper_triangle(matrix)), 0.99)) for matrix in shown.values())
    axes = []
    for index, (name, title) in enumerate(_TITLES.items()):
        ax = fig.add_subplot(cells[index])
        image = ax.imshow(
            shown[name][np.ix_(order, order)], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest"
        )
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        axes.append(ax)
    axes[0].set_ylabel(f"{len(order)} oracle images\nof scan {wrapped(scan, 20)}", **LITERAL)
    fig.colorbar(image, ax=axes, label="Similarity", extend="both", shrink=0.85, aspect=15)


def _draw_pool(ax, pool: np.ndarray) -> None:
    values = upper_triangle(pool)
    counts, edges = np.histogram(values, bins=int(np.clip(np.sqrt(len(values)), 5, 80)))
    ax.stairs(counts / counts.sum(), edges, fill=True, color="#6e6e6e")
    ax.set_title(f"Pool: {len(pool)} images")
    ax.set(xlabel="Target similarity", ylabel="Share of pairs")


def _draw_neurons(ax, effective: pd.DataFrame) -> None:
    units = list(dict.fromkeys(effective["units"]))
    for y, one in enumerate(units):
        chosen = effective[effective["units"] == one]
        percent = 100 * (chosen["effective"] / chosen["neurons"]).to_numpy()
        spread = np.linspace(-0.2, 0.2, len(percent)) if len(percent) > 1 else np.zeros(1)
        ax.plot(percent, y + spread, "o", color=_COLOR, markersize=3)
    ax.axvline(100 * FEWEST_EFFECTIVE, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(units)), [f"units: {one}" for one in units])
    ax.set(xlabel="Effective neurons (%)", ylim=(len(units) - 0.4, -0.6))
    lowest = 100 * float((effective["effective"] / effective["neurons"]).min())
    ax.set(xscale="log", xlim=(min(2.0, max(0.5 * lowest, 1e-3)), 100))
    ax.xaxis.set_major_formatter("{x:g}")


def _draw_scans(ax, given: pd.DataFrame) -> None:
    comparisons = list(dict.fromkeys(given["comparison"]))
    paper = [name for name in comparisons if name in PAPER_R]
    for y, comparison in enumerate(comparisons):
        r = given.loc[given["comparison"] == comparison, "r"].to_numpy()
        ax.plot(r, y + np.linspace(-0.2, 0.2, len(r)) if len(r) > 1 else [y], "o", color=_COLOR, markersize=3)
        if comparison in PAPER_R:
            ax.vlines(PAPER_R[comparison], y - 0.35, y + 0.35, color="black", linewidth=1)
    ax.set_yticks(range(len(comparisons)), [name.replace(" vs ", "\nvs ") for name in comparisons])
    ax.set(xlabel="r (bars: paper)" if paper else "r", ylim=(len(comparisons) - 0.4, -0.6))
    ax.set_xlim(min(0.0, float(given["r"].min()) - 0.05), 1)
