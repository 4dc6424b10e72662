"""What any page must be: well formed, complete in itself, its links good."""

import re
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "source", "wbr"}
# Attributes by which a browser fetches something of its own accord.
FETCHED = ("src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href")


class Page(HTMLParser):
    """A parsed page.

    Attributes
    ----------
    elements
        Each element's name and attributes, in order.
    text
        All that can be read.
    """

    def __init__(self, path):
        super().__init__()
        self.path = Path(path)
        self.elements, self.open, self.texts = [], [], []
        self.feed(self.path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def check_page(path):
    """Parse a page and check it; return it."""
    page = Page(path)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id stands twice"
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "foreignobject", "base"), f"holds a <{tag}>"
        for key, value in attributes.items():
            assert not key.startswith("on"), f"<{tag}> has {key}"
            assert key not in FETCHED or value.startswith("data:"), f"<{tag}> fetches {value[:80]}"
            for target in re.findall(r"url\(([^)]*)\)", value or ""):
                assert target.startswith("#"), f"<{tag}> fetches {target[:80]}"
                assert target[1:] in ids, f"no {target}"
        if "href" in attributes:
            check_link(page, tag, attributes["href"], ids)
    style = " ".join(re.findall(r"<style>(.*?)</style>", page.path.read_text(encoding="utf-8"), re.DOTALL))
    assert "url(" not in style and "@import" not in style
    return page


def check_link(page, tag, target, ids):
    if target.startswith("#"):
        assert target[1:] in ids, f"no {target}"
    elif target.startswith("data:"):
        assert tag in ("image", "link")
    elif re.match(r"\w+:", target):
        # For a reader to follow; nothing is fetched before.
        assert tag == "a" and target.startswith("https:"), f"<{tag}> refers to {target[:80]}"
    else:
        assert tag == "a"
        assert (page.path.parent / target).is_file(), f"no file {target}"
