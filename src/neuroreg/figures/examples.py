"""Closest adversarials to look at: a few samples, every condition, every norm."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuroreg.errors import InputError
from neuroreg.figures.latex import NORM_LABELS
from neuroreg.figures.lettering import LITERAL, drawn, wrapped
from neuroreg.figures.style import COLUMN_WIDTH, new_figure, stamp_simulated, style
from neuroreg.robustness.attack_result import Closest
from neuroreg.seeds import derive_seed

SAMPLES = 3
_SMALL = 6  # points
_GAP = 0.12  # between samples, as a share of an image's height


def choose_examples(closest: Mapping[str, Closest], seed: int) -> np.ndarray:
    """Return the positions of `SAMPLES` samples (all if fewer), ascending; the same for every model.

    They are drawn at random from those that every model classifies correctly and that have an adversarial
    under every norm and model; if these are too few, from the others that every model classifies correctly,
    then from the rest. Of each of these those come first that have more contrast than half of all samples:
    on a plain image nothing is to be seen.
    """
    contrast = next(iter(closest.values())).clean.std(axis=(1, 2))
    correct = np.logical_and.reduce([part.correct for part in closest.values()])
    found = [np.isfinite(part.distance[norm]) for part in closest.values() for norm in NORM_LABELS]
    rank = 2.0 - correct - (correct & np.logical_and.reduce(found)) + 0.5 * (contrast < np.median(contrast))
    order = np.random.default_rng(derive_seed(seed, "examples")).permutation(len(rank))
    return np.sort(order[np.argsort(rank[order], kind="stable")][:SAMPLES])


def examples_figure(
    closest: Mapping[str, Closest],
    models: Mapping[str, str],
    classes: np.ndarray,
    note: str = "",
    seed: int = 0,
) -> tuple[Figure, pd.DataFrame]:
    """Draw some images beside their closest adversarials and the differences, magnified.

    Rows are samples and, in each, conditions; columns the image as it is and, for each norm, the adversarial
    (below it the class that the model names) and the difference (below it the distance). One factor per norm
    (1, 2, 5, 10, 20, ...) magnifies all differences; at the colour scale's ends they are cut off.

    Parameters
    ----------
    closest
        Model name to what the attacks on one trained model found; the same samples in each.
    models
        Model name to display label, in the order of the rows.
    classes
        str (C,), the names of the classes.
    note
        Stamped on the figure if not empty, see `stamp_simulated`.
    seed
        Decides which samples are shown.

    Returns
    -------
    fig : matplotlib.figure.Figure
    numbers : pandas.DataFrame
        One row per sample, model and norm shown: model, label, sample, class (its own), norm, distance (inf
        where none was found, 0 where misclassified), taken_for (class; empty where none), attack, factor.

    Raises
    ------
    InputError
        If a model has no adversarials, or the samples differ.
    """
    absent = [model for model in models if model not in closest]
    if absent:
        raise InputError(f"examples: no adversarials of {', '.join(absent)}; expected those of every model.")
    closest = {model: closest[model] for model in models}
    first = next(iter(closest.values()))
    if not all(np.array_equal(part.clean, first.clean) for part in closest.values()):
        raise InputError("examples: the models were attacked on different samples; expected the same.")
    shown = choose_examples(closest, seed)
    factors = {
        norm: _factor([part.adversarial[norm][shown] - first.clean[shown] / 255 for part in closest.values()])
        for norm in NORM_LABELS
    }
    rows = [
        {
            "model": model,
            "label": label,
            "sample": int(first.sample[index]),
            "class": classes[first.label[index]],
            "norm": norm,
            "distance": closest[model].distance[norm][index],
            "taken_for": classes[named] if (named := closest[model].predicted[norm][index]) >= 0 else "",
            "attack": closest[model].attack[norm][index],
            "factor": factors[norm],
        }
        for index in shown
        for model, label in models.items()
        for norm in NORM_LABELS
    ]
    numbers = pd.DataFrame(rows)
    with style([*models.values(), *map(str, classes)]):
        fig = _draw(closest, models, classes, shown, factors)
        stamp_simulated(fig, note)
    return fig, numbers


def _factor(differences: list[np.ndarray]) -> float:
    """Return how much to magnify `differences`, each (rows, H, W): a median row nearly fills the scale."""
    largest = np.concatenate([np.abs(part).max(axis=(1, 2)) for part in differences])
    largest = largest[np.isfinite(largest) & (largest > 0)]
    if not len(largest):
        return 1.0
    reach = np.median(largest) * (1 - 1e-6)  # a rounding's worth of slack: 1 / 0.1 is to give 10
    power = 10.0 ** np.floor(-np.log10(reach))
    return float(max(step * power for step in (1, 2, 5) if step * power * reach <= 1))


def _draw(
    closest: Mapping[str, Closest],
    models: Mapping[str, str],
    classes: np.ndarray,
    shown: np.ndarray,
    factors: Mapping[str, float],
) -> Figure:
    columns = 1 + 2 * len(NORM_LABELS)
    rows = len(shown) * len(models)
    side = 2 * COLUMN_WIDTH / (columns + 1)
    fig = new_figure(2, rows * (side + 0.12) + 0.4 + _GAP * side * (len(shown) - 1))
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)  # type: ignore[call-arg, union-attr]
    heights = ([1.0] * len(models) + [_GAP]) * len(shown)
    grid = fig.add_gridspec(len(heights) - 1, columns, height_ratios=heights[:-1])
    lines = [line for line, height in enumerate(heights) if height == 1]
    axes = np.array([[fig.add_subplot(grid[line, column]) for column in range(columns)] for line in lines])
    for row, line in enumerate(axes):
        index, model = shown[row // len(models)], list(models)[row % len(models)]
        part = closest[model]
        clean = part.clean[index] / 255
        _show(line[0], clean, f"{classes[part.label[index]]}", cmap="gray", vmin=0, vmax=1)
        label = wrapped(models[model], 16)
        line[0].set_ylabel(label, fontsize=5.5 if "\n" in label else 7, labelpad=2, **LITERAL)
        for norm, adversarial, difference in zip(NORM_LABELS, line[1::2], line[2::2], strict=True):
            image, named = part.adversarial[norm][index], part.predicted[norm][index]
            if named < 0:
                _show(adversarial, np.zeros_like(clean), "none found", cmap="gray_r", vmin=0, vmax=1)
                _show(difference, np.zeros_like(clean), "", cmap="RdBu_r", vmin=-1, vmax=1)
                continue
            _show(adversarial, image, f"{classes[named]}", cmap="gray", vmin=0, vmax=1)
            distance = f"{part.distance[norm][index]:.{3 if norm != 'l0' else 4}g}"
            _show(difference, factors[norm] * (image - clean), distance, cmap="RdBu_r", vmin=-1, vmax=1)
    axes[0, 0].set_title("image", fontsize=7, pad=3)
    for norm, adversarial, difference in zip(NORM_LABELS, axes[0, 1::2], axes[0, 2::2], strict=True):
        adversarial.set_title(NORM_LABELS[norm], pad=3)
        difference.set_title(f"difference\n× {factors[norm]:g}", fontsize=6.5, pad=3)
    return fig


def _show(ax: Axes, image: np.ndarray, below: str, **options) -> None:
    ax.imshow(image, interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.4)
    ax.set_xlabel(drawn(below), fontsize=_SMALL, labelpad=1.5, **LITERAL)
