"""What a browser says of bad pages; of the page of a run, see tests/workflow/test_workflow.py."""

import pytest
from browser import Browser, find_browser, problems

DRAWING = '<svg viewBox="0 0 9 9" width="90" height="90"><rect width="9" height="9"/></svg>'
HEAD = (
    '<!DOCTYPE html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><body>'
)

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(find_browser(), tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>Words", None),
        (DRAWING, None),
        ('<div style="width: 600px">Words</div>', "390 pixels, light: 6"),
        ('<img src="http://127.0.0.1:9/a.png" alt="">', "asks for http://127.0.0.1:9/a.png"),
        ('<img src="other.png" alt="">', "other.png"),
        ('<img src="data:image/png;base64,AAAA" alt="">', "390 pixels, light: an image: EncodingError"),
        ('<svg viewBox="0 0 9 9" width="90" height="90"></svg>', "a drawing of 90 x 90"),
        (
            '<svg viewBox="0 0 9 9" width="9" height="9"><rect width="9" height="9"/></svg>',
            "a drawing of 9 x 9",
        ),
        ("<script>console.log('words')</script>", "says: "),
        ("<script>none.at.all</script>", "fails: Uncaught"),
        ('<p style="color: #999">Words', "faint: Words"),
        (
            "<style>@media (prefers-color-scheme: dark) { p { background: #333 } }</style><p>Words",
            "390 pixels, dark: faint: Words",
        ),
    ],
)
def test_a_browser_sees_what_is_wrong(browser, tmp_path, body, expected):
    path = tmp_path / "page.html"
    path.write_text(HEAD + body)
    found = problems(browser, path)
    if expected is None:
        assert found == []
    else:
        assert any(expected in one for one in found), found
