"""The one look, and what holds for every figure."""

import re
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from figure_frames import (
    CLASSES,
    LABELS,
    NOTE,
    STRONGER,
    closest,
    conditions,
    correlations,
    distances,
    effective,
    histories,
    noise,
    similarities,
    sweep,
    tightened,
)
from skimage.color import rgb2lab

from neuroreg.errors import InputError
from neuroreg.figures import style as style_module
from neuroreg.figures.examples import examples_figure
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.noise import fig1, noise_figure
from neuroreg.figures.similarity import similarity_figure
from neuroreg.figures.style import (
    alpha_colors,
    condition_colors,
    new_figure,
    save_figure,
    stamp_simulated,
    style,
)
from neuroreg.figures.survival import survival_figure
from neuroreg.figures.tightening import tightening_figure
from neuroreg.figures.training import training_figure

FIGURES = {
    "survival": lambda note="": survival_figure(distances(), LABELS, note),
    "examples": lambda note="": examples_figure(closest(), LABELS, CLASSES, note),
    "fig1": lambda note="": fig1(*sweep(), note),
    "noise": lambda note="": noise_figure(*conditions(), LABELS, note),
    "fig2": lambda note="": fig2(distances(), LABELS, note),
    "similarity": lambda note="": similarity_figure(
        similarities(), similarities(20)["model"], correlations(), effective(), note=note
    ),
    "training": lambda note="": training_figure(
        histories(), {name: name for name in histories()["model"].unique()}, note
    ),
    "tightening": lambda note="": tightening_figure(tightened(), LABELS, STRONGER, note),
}


@pytest.mark.parametrize("name", FIGURES)
def test_same_numbers_same_pdf_bytes(name, tmp_path):
    for copy in ("a", "b"):
        fig, _ = FIGURES[name](NOTE)
        save_figure(tmp_path / f"{copy}.pdf", fig)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"CreationDate" not in content
    assert content == (tmp_path / "b.pdf").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "b.pdf"]


@pytest.mark.parametrize("name", FIGURES)
def test_the_note_stands_on_the_figure_and_only_if_there_is_one(name):
    with_note, numbers = FIGURES[name](NOTE)
    without, same = FIGURES[name]()
    assert [text.get_text() for text in with_note.texts if text.get_gid() == "note"] == [NOTE]
    assert not [text for text in without.texts if text.get_gid() == "note"]
    pd.testing.assert_frame_equal(numbers, same)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_and_the_note_covers_nothing(name):
    fig, _ = FIGURES[name](NOTE)
    with style():  # of which the ticks' labels are, too
        fig.draw_without_rendering()
        (note,) = (text for text in fig.texts if text.get_gid() == "note")
        top_of_note = note.get_window_extent().ymax
        boxes = [ax.get_tightbbox() for ax in fig.axes]
    for box in boxes:
        assert box.x0 >= -1
        assert box.x1 <= fig.bbox.x1 + 1
        assert box.y1 <= fig.bbox.y1 + 1
        assert box.y0 >= top_of_note - 1


MANY = {
    "survival": lambda models: survival_figure(
        pd.concat([distances().query("model == 'none'").assign(model=name) for name in models]), models
    ),
    "noise": lambda models: noise_figure(
        *noise(dict.fromkeys(models, 2), dict.fromkeys(models, 1.0)), models
    ),
    "fig1": lambda models: fig1(
        *noise(dict.fromkeys(models, 2), {name: float(n) for n, name in enumerate(models)})
    ),
    "training": lambda models: training_figure(
        pd.concat([histories().query("model == 'none'").assign(model=name) for name in models]), models
    ),
}


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("count", [5, 18])
def test_no_legend_of_many_long_labels_leaves_the_page(name, count):
    fig, _ = MANY[name]({f"m{n}": f"Neural, alpha {n}, mean of eight scans" for n in range(count)})
    with style():
        fig.draw_without_rendering()
        boxes = [made.get_window_extent() for made in fig.legends]
    for box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1
        assert box.x1 <= fig.bbox.x1 + 1 and box.y1 <= fig.bbox.y1 + 1


@pytest.mark.parametrize("height", [2, 19])
def test_the_note_keeps_to_its_room_however_high_the_figure_is(height):
    with style():
        fig = new_figure(2, height)
        ax = fig.add_subplot()
        ax.set_xlabel("name")
        stamp_simulated(fig, NOTE)
        fig.draw_without_rendering()
        assert fig.texts[0].get_window_extent().y1 <= ax.get_tightbbox().y0


def test_figures_import_no_torch_and_leave_pyplot_alone():
    code = (
        "import sys, neuroreg.figures.fig2, neuroreg.figures.training,"
        "neuroreg.figures.similarity, neuroreg.figures.noise, neuroreg.figures.survival,"
        "neuroreg.figures.examples, neuroreg.figures.tightening, matplotlib.pyplot as plt;"
        "assert 'torch' not in sys.modules;"
        "neuroreg.figures.style.new_figure(1, 1); assert not plt.get_fignums()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_long_note_is_wrapped_within_the_figure():
    with style():
        fig = new_figure(1, 2)
        fig.add_subplot()
        stamp_simulated(fig, "simulated " * 40)
        fig.draw_without_rendering()
        box = fig.texts[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= fig.bbox.x1
        assert box.y1 <= fig.axes[0].get_tightbbox().y0 + 1


def test_colours_of_conditions_are_fixed_and_distinct():
    alone = condition_colors(["Neural"])[0]
    names = [
        "None",
        "shuffle",
        "neural_a2",
        "Neural, alpha 20",
        "VGG",
        "Raw",
        *(f"other {k}" for k in range(9)),
    ]
    colors = condition_colors(names)
    assert colors[2] == alone
    places = rgb2lab(np.array(colors)[None])[0]
    apart = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(len(names), 1)]
    assert apart.min() > 20  # of CIE 1976; 2 can just be told side by side


def test_colours_of_alphas_darken_with_alpha():
    colors = alpha_colors([32.0, 0.0, 8.0, 0.0])
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (colors[a] for a in (0.0, 8.0, 32.0))]
    assert light == sorted(light, reverse=True)
    assert light[0] < 0.85  # still shows on white


def test_saving_under_a_name_that_is_no_figure_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a figure's name"):
        save_figure(tmp_path / "a.txt", new_figure(1, 1))
    assert list(tmp_path.iterdir()) == []


def test_the_users_own_matplotlib_settings_change_nothing(tmp_path):
    save_figure(tmp_path / "a.pdf", FIGURES["noise"]()[0])
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.facecolor": "red"}):
        save_figure(tmp_path / "b.pdf", FIGURES["noise"]()[0])
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_the_same_figure_is_the_same_drawing_in_any_process(tmp_path):
    """The layout's solver orders by addresses in memory, and so its results differ in the last bit."""
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from figure_frames import similarities, correlations, effective\n"
        "from neuroreg.figures.similarity import similarity_figure\n"
        "from neuroreg.figures.style import save_figure\n"
        "pile = [bytes(n) for n in range(int(sys.argv[1].rsplit('.', 2)[-2]))]\n"
        "pool = similarities(20)['model']\n"
        "figure, _ = similarity_figure(similarities(), pool, correlations(), effective())\n"
        "save_figure(sys.argv[1], figure)\n"
    )
    for number in (0, 1, 7777):
        command = [sys.executable, "-c", code, tmp_path / f"x.{number}.svg", *sys.path]
        subprocess.run(list(map(str, command)), check=True)
    first, *others = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert all(other == first for other in others)
    names = re.findall(rb'<clipPath id="(\w+)"', first)
    assert len(set(names)) == len(names) > 0
    assert set(re.findall(rb"url\(#(p\w+)\)", first)) == set(names)


def test_clip_paths_are_named_by_what_they_hold():
    svg = b'<g clip-path="url(#%b)"/><g clip-path="url(#%b)"/>'
    svg += b'<clipPath id="%b"> a </clipPath><clipPath id="%b"> %b </clipPath>'
    one = style_module._clips_by_content(svg % (b"p0a", b"p0b", b"p0a", b"p0b", b"a"))
    assert one == style_module._clips_by_content(svg % (b"p1", b"p2", b"p1", b"p2", b"a"))
    assert one.count(b"<clipPath") == 1
    other = style_module._clips_by_content(svg % (b"p0a", b"p0b", b"p0a", b"p0b", b"b"))
    assert other.count(b"<clipPath") == 2 and len(set(re.findall(rb"url\(#(p\w+)\)", other))) == 2
