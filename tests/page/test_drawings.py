import re
from xml.etree import ElementTree

import pytest
from figure_frames import CLASSES, LABELS, closest, distances

from neuroreg.errors import InputError
from neuroreg.figures.examples import examples_figure
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.style import save_figure
from neuroreg.page.drawings import inline_svg

HOSTILE = '</svg><script>alert("1 & 2")</script>'


def svg(tmp_path, body, head='viewBox="0 0 72 36"'):
    path = tmp_path / "drawing.svg"
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f"{head}>{body}</svg>"
    )
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    path = tmp_path_factory.mktemp("drawn") / "fig2.svg"
    save_figure(path, fig2(distances(), LABELS | {"none": HOSTILE})[0])
    return path


def test_a_drawing_stands_twice_on_a_page_and_no_id_does(drawn):
    both = [ElementTree.fromstring(inline_svg(drawn, name, "Fig. 2")) for name in ("a", "b")]
    ids = [element.get("id") for root in both for element in root.iter() if "id" in element.attrib]
    assert ids
    assert len(ids) == len(set(ids))
    for name, root in zip("ab", both, strict=True):
        text = ElementTree.tostring(root, encoding="unicode")
        referred = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
        assert referred == {own for own in ids if own.startswith(f"{name}-")}


def test_it_draws_the_same_as_before(drawn):
    before = ElementTree.parse(drawn).getroot()
    after = ElementTree.fromstring(inline_svg(drawn, "a", "Fig. 2"))
    for tag in ("path", "use", "text", "clipPath", "rect"):
        old = list(before.iter("{http://www.w3.org/2000/svg}" + tag))
        new = list(after.iter(tag))
        assert len(old) == len(new) > 0
        for one, other in zip(old, new, strict=True):
            assert [one.get(key) for key in ("d", "x", "y", "transform")] == [
                other.get(key) for key in ("d", "x", "y", "transform")
            ]
            assert "".join(one.itertext()).strip() == "".join(other.itertext()).strip()


def test_labels_are_text_whatever_they_are(drawn):
    markup = inline_svg(drawn, "a", HOSTILE)
    root = ElementTree.fromstring(markup)
    assert root.get("aria-label") == HOSTILE
    # A long label is a text a line.
    assert HOSTILE in " ".join("".join(text.itertext()).strip() for text in root.iter("text"))
    assert "<script" not in markup


def test_the_page_is_told_width_and_whether_there_are_pixels(tmp_path):
    plain = ElementTree.fromstring(inline_svg(svg(tmp_path, "<g/>"), "a", ""))
    assert plain.get("class") == "vector"
    assert plain.get("style") == "--natural: 96px"  # 72 points are an inch, of 96 pixels
    save_figure(tmp_path / "examples.svg", examples_figure(closest(), LABELS, CLASSES)[0])
    assert ElementTree.fromstring(inline_svg(tmp_path / "examples.svg", "a", "")).get("class") == "raster"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<g><script>1</script></g>", "holds a <script>"),
        ("<foreignObject/>", "holds a <foreignObject>"),
        ('<image xlink:href="https://example.org/a.png"/>', "refers to 'https://example.org/a.png'"),
        ('<use href="other.svg#a"/>', "refers to 'other.svg#a'"),
    ],
)
def test_what_runs_or_loads_is_refused(tmp_path, body, message):
    with pytest.raises(InputError, match=message):
        inline_svg(svg(tmp_path, body), "a", "")


def test_handlers_of_events_are_left_out(tmp_path):
    markup = inline_svg(
        svg(tmp_path, '<g onload="alert(1)"><path d="M 0 0"/></g>', 'viewBox="0 0 1 1" onclick="1"'), "a", ""
    )
    assert "onload" not in markup and "onclick" not in markup and "M 0 0" in markup


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable drawing"),
        ("<html/>", "holds a <html>"),
        ("<svg/>", "expected an <svg> with a viewBox"),
    ],
)
def test_what_is_no_drawing_is_refused(tmp_path, text, message):
    path = tmp_path / "drawing.svg"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        inline_svg(path, "a", "")
    with pytest.raises(InputError, match="not a readable drawing"):
        inline_svg(tmp_path / "none.svg", "a", "")
