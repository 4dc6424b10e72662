"""The one look of all figures, and how a figure becomes a file."""

import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuroreg.errors import InputError
from neuroreg.figures.lettering import FONT, fallback_fonts, wrapped
from neuroreg.files.storage import atomic_path, write_csv

COLUMN_WIDTH = 3.3  # inches; two columns and their gap fill a page of 6.6 inches
_RC = {
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "font.family": FONT,
    "font.size": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # letters, which a page can search and read out
    "svg.hashsalt": "neuroreg",
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
}
# What a file says about its making, cleared: a date would make equal figures differ.
_METADATA = {".pdf": {"CreationDate": None}, ".png": {"Software": None}, ".svg": {"Date": None}}
# Okabe and Ito's colours as seaborn's "colorblind" palette has them.
_CONDITIONS = {
    "none": "#6e6e6e",
    "shuffle": "#de8f05",
    "neural": "#0173b2",
    "raw": "#56b4e9",
    "vgg": "#029e73",
}
_OTHERS = ("#d55e00", "#cc78bc", "#000000", "#8a5a2b", "#b5a900")
_STAMP_SIZE = 6.5  # points


@contextmanager
def style(texts: Iterable[str] = ()) -> Iterator[None]:
    """Matplotlib's defaults and this look on top, whatever the user's own settings; undone on leaving.

    `texts` are the user's on a figure that is drawn; where `lettering.FONT` lacks letters of theirs, others
    are added.
    """
    fonts = {"font.family": [FONT, *fallback_fonts(texts)]}
    with matplotlib.style.context(["default", _RC | fonts]):
        yield


def new_figure(columns: float, height: float) -> Figure:
    """Return an empty figure `columns` paper columns wide and `height` inches high.

    It belongs to no window system and to no pyplot state. Call inside `style()`.
    """
    return Figure(figsize=(columns * COLUMN_WIDTH, height), layout="constrained")


def alpha_colors(alphas: Iterable[float]) -> dict[float, tuple[float, float, float]]:
    """Return a colour per alpha, sequential by rank: light for the smallest, dark for the largest."""
    ranked = sorted(set(alphas))
    # The palette's first, palest quarter does not show as a thin line on white.
    palette = sns.color_palette("viridis_r", as_cmap=True)
    span = max(len(ranked) - 1, 1)
    return {alpha: palette(0.25 + 0.75 * rank / span)[:3] for rank, alpha in enumerate(ranked)}


def condition_colors(names: Sequence[str]) -> list[tuple[float, float, float]]:
    """Return one colour per condition name, in the given order.

    A name whose first word is None, Shuffle, Neural, Raw or VGG (any case; ``neural_a20`` counts as Neural)
    gets that condition's fixed colour. A second name of the same condition, and any other name, gets a colour
    that none of the others has.
    """
    words = [re.split(r"[\W_]+", name.strip().lower())[0] for name in names]
    first = {word: index for index, word in reversed(list(enumerate(words))) if word in _CONDITIONS}
    spare = iter([*_OTHERS, *_farther(max(len(words) - len(_OTHERS), 0))])
    colors = [
        _CONDITIONS[word] if first.get(word) == index else next(spare) for index, word in enumerate(words)
    ]
    return [tuple(rgb) for rgb in sns.color_palette(colors)]


def _farther(count: int) -> list[tuple[float, float, float]]:
    """Return so many more colours, each the farthest from all before it."""
    candidates = [rgb for light in (0.35, 0.55, 0.75) for rgb in sns.husl_palette(36, s=0.8, l=light)]
    taken = list(sns.color_palette([*_CONDITIONS.values(), *_OTHERS]))
    for _ in range(count):
        taken.append(max(candidates, key=lambda one: min(_apart(one, other) for other in taken)))
    return taken[len(taken) - count :]


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    """Return about how different two colours look, from their red, green and blue (Riemersma's formula)."""
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    mean = (one[0] + other[0]) / 2
    return (2 + mean) * red**2 + 4 * green**2 + (3 - mean) * blue**2


def slant_labels(ax: Axes) -> None:
    """Turn the labels under an axis, upright where they have several lines, for which slanted is too wide."""
    upright = any("\n" in label.get_text() for label in ax.get_xticklabels())
    ax.tick_params(axis="x", rotation=90 if upright else 45)
    for label in ax.get_xticklabels():
        if upright:
            label.set(ha="center", va="top", multialignment="right")
        else:
            label.set(ha="right", rotation_mode="anchor")


def not_found_line(label: str, not_found: int, tried: int, bound: float) -> str:
    """Return what a figure says of samples without an adversarial: their share, what the mean is at most."""
    percent = 100 * not_found / tried
    who, most = f"{wrapped(label, 20)} {percent:.{1 if percent < 10 else 0}f} %:", f"≤ {bound:.3g}"
    # A panel is some 24 letters wide.
    return f"{who}{' ' if len(who.splitlines()[-1]) + len(most) < 20 else chr(10)}{most}"


def stamp_simulated(fig: Figure, note: str) -> None:
    """Write `note` in small letters along the foot of the figure; do nothing if it is empty.

    For figures made from simulated scans: nobody who sees the figure alone may take them for measurements.
    """
    note = " ".join(note.split())
    if not note:
        return
    width, height = fig.get_size_inches()
    # A letter is about 0.55 of its size wide on average.
    lines = textwrap.wrap(note, int(72 * width / (0.55 * _STAMP_SIZE)) - 2)
    foot = (len(lines) * 1.3 * _STAMP_SIZE + 3) / 72 / height
    fig.get_layout_engine().set(rect=(0, foot, 1, 1 - foot))  # type: ignore[call-arg, union-attr]
    fig.text(
        0.01,
        1.5 / 72 / height,  # whose room is in points, too
        "\n".join(lines),
        fontsize=_STAMP_SIZE,
        style="italic",
        color="#a02020",
        va="bottom",
        gid="note",
    )


def save_figure(path: str | Path, fig: Figure) -> None:
    """Write `fig` to a PDF (or SVG, PNG) file, atomically; equal figures give equal bytes.

    Raises
    ------
    InputError
        If the name ends in none of .pdf, .svg, .png.
    OSError
        If the system refuses to write it; what stood there stays.
    """
    path = Path(path)
    if path.suffix not in _METADATA:
        raise InputError(
            f"{path}: ends in '{path.suffix}'; expected a figure's name in {', '.join(_METADATA)}."
        )
    # In memory first: on a full disk Matplotlib's PDF writer fails once more while it closes the file.
    content = io.BytesIO()
    with style():
        # The page that an SVG stands in has a ground of its own.
        fig.savefig(
            content,
            format=path.suffix[1:],
            metadata=_METADATA[path.suffix],
            transparent=path.suffix == ".svg",
        )
    data = content.getvalue()
    if path.suffix == ".svg":
        data = _clips_by_content(data)
    with atomic_path(path, len(data)) as partial:
        partial.write_bytes(data)


def _clips_by_content(svg: bytes) -> bytes:
    """Return an SVG whose clip paths are named by what they hold, each once.

    Matplotlib names them by coordinates to the last bit, and those of a constrained layout differ in it from
    process to process: its solver orders by addresses in memory.
    """
    names: dict[bytes, bytes] = {}
    written = set()

    def renamed(match: re.Match[bytes]) -> bytes:
        name = names[match["id"]] = b"p" + sha256(match["body"]).hexdigest()[:10].encode()
        if name in written:
            return b""
        written.add(name)
        return b'<clipPath id="%b">%b</clipPath>' % (name, match["body"])

    svg = re.sub(rb'<clipPath id="(?P<id>p[0-9a-f]+)">(?P<body>.*?)</clipPath>', renamed, svg, flags=re.S)
    return re.sub(rb"url\(#(p[0-9a-f]+)\)", lambda match: b"url(#%b)" % names.get(match[1], match[1]), svg)


def save_drawing(output: Any, fig: Figure, numbers: pd.DataFrame) -> None:
    """Write `fig` to the files `output.figure` and `output.screen`, the numbers drawn to `output.numbers`."""
    save_figure(output.figure, fig)
    save_figure(output.screen, fig)
    write_csv(output.numbers, numbers)
