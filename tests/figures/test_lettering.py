"""Users' texts on figures: shown as they are, whatever else they mean to Matplotlib."""

import logging

import numpy as np
import pytest
from figure_frames import CLASSES, LABELS, STRONGER, closest, conditions, distances, histories, tightened
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from made_up_tries import MODELS, two_models
from matplotlib import font_manager
from matplotlib.text import Text

from neuroreg.analysis.convergence import convergence
from neuroreg.figures import lettering
from neuroreg.figures.convergence import convergence_figure
from neuroreg.figures.examples import examples_figure
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.lettering import WIDTH, drawn, wrapped
from neuroreg.figures.noise import noise_figure
from neuroreg.figures.style import new_figure, save_figure, style
from neuroreg.figures.survival import survival_figure
from neuroreg.figures.tightening import tightening_figure
from neuroreg.figures.training import training_figure

DIFFICULT = ["$5_ or $6", "_shuffle", r"\$x$ {y} %s $", "<b>&amp;</b>", "$", r"\frac{1}{2}$$", "Ångström – µ"]
TEXT = "神经元"


def labelled(labels, names=LABELS):
    return dict(zip(names, labels, strict=False))


FIGURES = {
    "survival": lambda labels: survival_figure(distances(), labelled(labels))[0],
    "examples": lambda labels: examples_figure(closest(), labelled(labels), CLASSES)[0],
    "noise": lambda labels: noise_figure(*conditions(), labelled(labels))[0],
    "fig2": lambda labels: fig2(distances(), labelled(labels))[0],
    "tightening": lambda labels: tightening_figure(tightened(), labelled(labels), STRONGER)[0],
    "convergence": lambda labels: convergence_figure(
        convergence(two_models(failing=0.8), labelled(labels, MODELS)), labelled(labels, MODELS)
    ),
}


@pytest.fixture(autouse=True)
def forget():
    """Each test finds its fonts anew."""
    yield
    for cached in (lettering.drawn, lettering.wrapped, lettering._letters, lettering._found_elsewhere):
        cached.cache_clear()


def shown(fig):
    """What each visible text comes out as, and whether it is set as mathematics."""
    with style():
        fig.draw_without_rendering()
    texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text()]
    return [text._preprocess_math(text.get_text()) for text in texts]


@pytest.mark.parametrize("labels", [DIFFICULT[:3], DIFFICULT[3:6], DIFFICULT[-1:] + DIFFICULT[:2]])
@pytest.mark.parametrize("name", FIGURES)
def test_every_label_is_shown_as_it_is(name, labels, tmp_path):
    fig = FIGURES[name](labels)
    found = shown(fig)
    for label in labels[: len(MODELS) if name == "convergence" else 3]:
        assert any(label in text.replace("\n", " ") and not mathematics for text, mathematics in found), label
    save_figure(tmp_path / "figure.pdf", fig)


def test_names_of_classes_and_models_are_shown_as_they_are():
    classes = np.array(DIFFICULT[:4])
    fig, numbers = examples_figure(closest(), LABELS, classes)
    texts = {text for text, mathematics in shown(fig) if not mathematics}
    assert set(numbers["class"]) <= texts & set(classes)
    frame = histories()
    renamed = dict(zip(dict.fromkeys(frame["model"]), DIFFICULT, strict=False))
    fig, numbers = training_figure(frame, renamed)
    texts = [text for text, mathematics in shown(fig) if not mathematics]
    for name in renamed.values():
        assert texts.count(name) == 2  # a title and an entry of the legend
    assert set(numbers["label"]) == set(renamed.values())


def make_font(path, name, letters):
    """A font that has these letters, as squares."""
    pen = TTGlyphPen(None)
    for number, point in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if number else pen.moveTo)(point)
    pen.closePath()
    square = pen.glyph()
    glyphs = [".notdef", *(f"u{ord(letter):04X}" for letter in letters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(letter): f"u{ord(letter):04X}" for letter in letters})
    builder.setupGlyf(dict.fromkeys(glyphs, square))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular", "psName": name.replace(" ", "")})
    builder.setupOS2(sTypoAscender=800, usWeightClass=400)
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def fonts(monkeypatch):
    """Only the fonts that come with Matplotlib, and those that the test adds."""
    manager = font_manager.fontManager
    own = [font for font in manager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(manager, "ttflist", own)
    return manager


def test_letters_that_no_font_has_become_numbers_and_one_warning_names_the_label(fonts, caplog, tmp_path):
    labels = [f"_{TEXT} $1", "$2", "b"]
    with caplog.at_level(logging.WARNING, "neuroreg"):
        fig = fig2(distances(), labelled(labels))[0]
        save_figure(tmp_path / "figure.pdf", fig)
    texts = [text for text, mathematics in shown(fig) if not mathematics]
    assert "_[U+795E][U+7ECF][U+5143] $1" in texts
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1 and labels[0] in told[0] and TEXT in told[0]


def test_an_installed_font_lends_letters_that_ours_lacks(fonts, caplog, tmp_path):
    make_font(tmp_path / "a.ttf", "Test Some", TEXT[:1])
    make_font(tmp_path / "b.ttf", "Test All", TEXT)
    for name in ("a.ttf", "b.ttf"):
        fonts.addfont(tmp_path / name)
    assert lettering.fallback_fonts([f"x {TEXT}", "y"]) == ["Test All"]
    assert lettering.fallback_fonts(["x", "$"]) == []
    with caplog.at_level(logging.WARNING, "neuroreg"):
        fig = fig2(distances(), labelled([TEXT, "_b", "c"]))[0]
        for copy in ("1.pdf", "2.pdf"):
            save_figure(tmp_path / copy, fig)
    assert caplog.records == []
    assert TEXT in [text for text, _ in shown(fig)]
    content = (tmp_path / "1.pdf").read_bytes()
    assert content == (tmp_path / "2.pdf").read_bytes()
    assert b"TestAll" in content and b"TestSome" not in content


def test_a_damaged_font_is_passed_over(fonts, tmp_path):
    make_font(tmp_path / "a.ttf", "Test All", TEXT)
    fonts.addfont(tmp_path / "a.ttf")
    (tmp_path / "a.ttf").write_bytes((tmp_path / "a.ttf").read_bytes()[:300])
    font_manager.get_font(font_manager.findfont(lettering.FONT))
    assert lettering.fallback_fonts([TEXT]) == []
    assert drawn(TEXT) == "[U+795E][U+7ECF][U+5143]"


def test_a_figure_without_strange_letters_names_no_other_font(fonts, tmp_path):
    with style(["None", "α_β – ½"]):
        fig = new_figure(1, 1)
        fig.text(0, 0, "x")
    save_figure(tmp_path / "figure.pdf", fig)
    assert (tmp_path / "figure.pdf").read_bytes().count(b"/BaseFont") <= 3
    assert drawn("two\nlines\t ") == "two lines"


def test_long_labels_are_lines_of_few_letters_and_lose_none():
    label = (
        "My own network, trained elsewhere (GELU), or in Donaudampfschifffahrtsgesellschaftskapitänskajüte"
    )
    lines = wrapped(label).split("\n")
    assert max(map(len, lines)) <= WIDTH
    assert "".join(lines).replace(" ", "") == label.replace(" ", "")
    assert wrapped("Neural") == "Neural"
    assert wrapped(" ") == drawn(" ")


@pytest.mark.parametrize("name", ["fig2", "noise", "examples"])
def test_long_labels_leave_room_for_the_figure(name):
    """Labels of 40 letters: each panel keeps half of its width, and no text leaves the figure."""
    labels = [f"{word} own network, trained elsewhere (GELU)" for word in ("My", "Your", "Our")]
    widths = {}
    for kind, texts in (("short", ["None", "Shuffle", "Neural"]), ("long", labels)):
        figure = FIGURES[name](texts)
        shown(figure)
        widths[kind] = figure.axes[0].get_position().width * figure.get_figwidth()
    assert widths["long"] > 0.5 * widths["short"]
    width = figure.bbox.width
    for text in figure.findobj(Text):
        if text.get_visible() and "network" in text.get_text():
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= width + 1, text.get_text()
