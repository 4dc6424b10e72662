"""Texts of the user's on figures: shown as they are, in fonts that have their letters."""

import io
import logging
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from neuroreg.files.markup import one_line

logger = logging.getLogger(__name__)
FONT = "DejaVu Sans"  # comes with matplotlib: the same bytes on every machine
LITERAL: dict[str, Any] = {"parse_math": False}
"""Arguments of texts that hold a user's: a dollar sign is one."""
# Fonts of boxes in place of letters, and of formulas.
_NOT_FOR_TEXT = ("Last Resort", "LastResort", "STIX", "cm", "DejaVu Sans Display", "DejaVu Serif Display")
WIDTH = 30  # letters of a user's text on one line
# Of legends: their letters in points, a letter's width and a line's height in these, a handle's width with
# the gaps beside it in letters.
_SIZE, _LETTER, _LINE, _HANDLE = 7, 0.6, 1.7, 8
_UNSEEN = {"\u200c", "\u200d", "\ufe0e", "\ufe0f"}  # join letters, or choose their form


@cache
def wrapped(text: str, width: int = WIDTH) -> str:
    """Return `drawn` on as many lines as it takes for lines of `width` letters."""
    return "\n".join(textwrap.wrap(drawn(text), width, break_on_hyphens=False)) or drawn(text)


@cache
def drawn(text: str) -> str:
    """Return a user's text as figures show it, on one line.

    What no installed font has is replaced by its number in Unicode, as in [U+795E]; a warning in the log
    names the text, once.
    """
    line = one_line(text)
    lacking = _lacking(line) - _found_elsewhere(frozenset(_lacking(line)))[1]
    if lacking:
        letters = "".join(one for one in dict.fromkeys(line) if one in lacking)
        logger.warning(
            "label '%s': no installed font has %s; the figure shows numbers of Unicode in their place",
            line, letters,
        )  # fmt: skip
    return "".join(f"[U+{ord(one):04X}]" if one in lacking else one for one in line)


def fallback_fonts(texts: Iterable[str]) -> list[str]:
    """Return names of installed fonts that have what `FONT` lacks of some texts, as few as will do."""
    lacking = frozenset().union(*(_lacking(one_line(text)) for text in texts))
    return list(_found_elsewhere(lacking)[0])


def legend(owner: Figure | Axes, handles: Sequence, labels: Iterable[str], **options: Any) -> Legend:
    """Add a legend with users' labels, which Matplotlib would leave out where they begin with ``_``."""
    made = owner.legend(handles, ["label"] * len(handles), **options)
    for text, label in zip(made.get_texts(), labels, strict=True):
        text.set(text=wrapped(label), **LITERAL)
    return made


def legend_above(fig: Figure, handles: Sequence, labels: Iterable[str]) -> Legend:
    """Add a `legend` above all panels, as many columns as there is room for; rows make the figure higher."""
    labels = list(labels)
    texts = [wrapped(label).split("\n") for label in labels]
    widest = max(len(line) for lines in texts for line in lines) + _HANDLE
    columns = max(1, min(len(texts), int(72 * fig.get_figwidth() / (_LETTER * _SIZE) / widest)))
    rows = [texts[first : first + columns] for first in range(0, len(texts), columns)]
    lines = sum(max(map(len, row)) for row in rows)
    fig.set_figheight(fig.get_figheight() + _LINE * _SIZE * (lines - 1) / 72)
    return legend(fig, handles, labels, loc="outside upper center", ncols=columns)


def legend_beside(fig: Figure, handles: Sequence, labels: Sequence[str], **options: Any) -> Legend:
    """Add a `legend` to the right of a panel, and make the figure as high as that."""
    lines = sum(wrapped(label).count("\n") + 1 for label in labels) + ("title" in options) + 1
    fig.set_figheight(max(fig.get_figheight(), _LINE * _SIZE * lines / 72))
    return legend(fig, handles, labels, loc="outside right upper", **options)


def _lacking(text: str) -> frozenset[str]:
    return frozenset(text) - _UNSEEN - _letters(font_manager.findfont(FONT))


@cache
def _letters(path: str) -> frozenset[str]:
    """Return the characters that a font file has."""
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except Exception:  # damaged or of a kind that Matplotlib does not read
        return frozenset()


@cache
def _found_elsewhere(lacking: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return installed fonts that have some of these characters, and which they have."""
    if not lacking:
        return (), frozenset()
    having: dict[str, frozenset[str]] = {}
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        if font.style == "normal" and not font.name.startswith(_NOT_FOR_TEXT):
            having.setdefault(font.name, lacking & _letters(font.fname))
    fonts: list[str] = []
    found: frozenset[str] = frozenset()
    # Those that have most come first.
    for name in sorted(having, key=lambda name: -len(having[name])):
        new = having[name] - found
        if new and _can_draw(name, "".join(sorted(new))):
            fonts.append(name)
            found |= new
    return tuple(fonts), found


def _can_draw(font: str, text: str) -> bool:
    """Say whether Matplotlib can write a text in a font to a PDF file."""
    with mpl.rc_context({"font.family": [font], "pdf.fonttype": 42}), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Figure((1, 1))
        figure.text(0, 0, text, **LITERAL)
        try:
            figure.savefig(io.BytesIO(), format="pdf")
        except Exception:  # whatever a strange font file leads to
            return False
    return True
