"""Which label a colour stands for: of each thing drawn, by its numbers, the legend's or the axis' own."""

import numpy as np
import pytest
from figure_frames import (
    CLASSES,
    LABELS,
    STRONGER,
    closest,
    conditions,
    distances,
    histories,
    sweep,
    tightened,
)
from made_up_tries import two_models
from matplotlib.colors import to_rgb

from neuroreg.analysis.convergence import convergence
from neuroreg.figures.convergence import convergence_figure
from neuroreg.figures.examples import examples_figure
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.noise import fig1, noise_figure
from neuroreg.figures.style import condition_colors
from neuroreg.figures.survival import survival_figure
from neuroreg.figures.tightening import tightening_figure
from neuroreg.figures.training import training_figure


def of_legend(owner):
    """The colours in a legend by their labels, without what stands behind these in brackets."""
    (made,) = getattr(owner, "legends", None) or [owner.get_legend()]
    texts = [text.get_text().partition(" (")[0] for text in made.get_texts()]
    return {text: to_rgb(line.get_color()) for text, line in zip(texts, made.legend_handles, strict=True)}


def of_line(ax, x, y):
    """The colour of the one line through these points."""
    found = {
        to_rgb(line.get_color())
        for line in ax.lines
        if np.array_equal(line.get_ydata(), y, equal_nan=True) and np.array_equal(line.get_xdata(), x)
    }
    (color,) = found
    return color


def means_of(numbers, **chosen):
    rows = numbers[numbers["level"] == "over seeds"]
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    return rows


def test_fig1():
    fig, numbers = fig1(*sweep())
    legend = of_legend(fig)
    assert len(set(legend.values())) == 3
    for alpha in (0, 2, 8):
        rows = means_of(numbers, alpha=alpha)
        assert of_line(fig.axes[0], rows["sigma"], rows["accuracy"]) == legend[f"{alpha}"]
        for _, run in numbers[(numbers["alpha"] == alpha) & (numbers["level"] == "one seed")].groupby("seed"):
            assert of_line(fig.axes[0], run["sigma"], run["accuracy"]) == legend[f"{alpha}"]


def test_noise():
    fig, numbers = noise_figure(*conditions(), LABELS)
    legend = of_legend(fig)
    assert list(legend.values()) == condition_colors(list(LABELS.values()))
    for model, label in LABELS.items():
        rows = means_of(numbers, model=model)
        assert of_line(fig.axes[0], rows["sigma"], rows["accuracy"]) == legend[label]


def test_survival():
    fig, numbers = survival_figure(distances(), LABELS)
    legend = of_legend(fig)
    for ax, norm in zip(fig.axes, ("l0", "l1", "l2", "linf"), strict=True):
        for model, label in LABELS.items():
            rows = means_of(numbers, model=model, norm=norm)
            assert of_line(ax, rows["distance"], rows["accuracy"]) == legend[label]


def test_convergence():
    models = {"none": "None", "neural": "Neural"}
    table = convergence(two_models(), models)
    fig = convergence_figure(table, models)
    legend = of_legend(fig)
    for ax, norm in zip(fig.axes, ("l0", "l1", "l2", "linf"), strict=False):
        for model, label in models.items():
            rows = table[
                (table["norm"] == norm) & (table["axis"] == "repetitions") & (table["model"] == model)
            ]
            assert of_line(ax, rows["count"], rows["bound"]) == legend[label]


def test_training():
    frame = histories()
    labels = {name: f"The {name}" for name in frame["model"].unique()}
    fig, numbers = training_figure(frame, labels)
    legend, layers = of_legend(fig), of_legend(fig.axes[0])
    axes = {ax.get_title(): ax for ax in fig.axes}
    assert len(set(layers.values())) == 5
    for model, label in labels.items():
        run = numbers[(numbers["model"] == model) & (numbers["seed"] == 1)]
        assert of_line(axes["Task loss"], run["epoch"], run["task_loss"]) == legend[label]
        for layer in (1, 5, 9, 13, 17):
            color = of_line(axes[label], run["epoch"], run[f"gamma_{layer}"])
            assert color == layers[f"layer {layer}"]


@pytest.mark.parametrize("labels", [LABELS, dict(reversed(LABELS.items()))])
def test_fig2(labels):
    fig, numbers = fig2(distances(failures=False), labels)
    colors = dict(zip(labels, condition_colors(list(labels.values())), strict=True))
    for ax, norm in zip(fig.axes, ("l0", "l1", "l2", "linf"), strict=True):
        ticks = [text.get_text() for text in ax.get_xticklabels()]
        for bar in ax.patches:
            label = ticks[round(bar.get_x() + bar.get_width() / 2)]
            (model,) = [name for name in labels if labels[name] == label]
            row = means_of(numbers, model=model, norm=norm, samples="all").iloc[0]
            assert bar.get_height() == row["mean"]
            assert to_rgb(bar.get_facecolor()) == colors[model]


def test_tightening():
    fig, numbers = tightening_figure(tightened(failures=False), LABELS, STRONGER)
    colors = dict(zip(LABELS, condition_colors(list(LABELS.values())), strict=True))
    (legend,) = fig.legends
    alphas = {
        text.get_text(): patch.get_alpha()
        for text, patch in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    first, second = alphas
    assert first == "The paper's attacks"
    for ax, norm in zip(fig.axes, ("l0", "l1", "l2", "linf"), strict=False):
        for x, model in enumerate(LABELS):
            row = numbers[(numbers["norm"] == norm) & (numbers["model"] == model)].iloc[0]
            for bar, name, alpha in zip(
                ax.patches[2 * x :], ("mean", "tightened"), (alphas[first], alphas[second]), strict=False
            ):
                assert (bar.get_height(), bar.get_alpha()) == (row[name], alpha)
                assert to_rgb(bar.get_facecolor()) == colors[model]


def test_examples_have_red_where_they_are_brighter():
    fig, _ = examples_figure(closest(), LABELS, CLASSES)
    maps = {image.get_cmap().name for ax in fig.axes for image in ax.images} - {"gray"}
    assert len(maps) == 1
    differences = next(
        image.get_cmap() for ax in fig.axes for image in ax.images if image.get_cmap().name in maps
    )
    (red, _, blue), (less_red, _, more_blue) = differences(0.9)[:3], differences(0.1)[:3]
    assert red > blue and less_red < more_blue
