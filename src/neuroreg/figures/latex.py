"""Frames as LaTeX tables."""

import math
import numbers
from typing import Any

import pandas as pd

from neuroreg.analysis.checks import check_frame
from neuroreg.files.markup import beyond_latex, escape_latex
from neuroreg.files.storage import write_csv, write_text

# Here and not in `style`, so that jobs that write tables do not import Matplotlib.
NORM_LABELS = {"l0": "$L_0$", "l1": "$L_1$", "l2": "$L_2$", "linf": r"$L_\infty$"}


def _text(value: object) -> str:
    return escape_latex(str(value))


def _norm(value: object) -> str:
    return NORM_LABELS[value] if value in NORM_LABELS else _text(value)


def _number(value: float) -> str:
    """Return a number at three significant digits, whole numbers from 100 on; '--' for NaN."""
    if pd.isna(value):
        return "--"
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    if isinstance(value, numbers.Integral) or abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"


def to_latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """Return `frame` as a LaTeX table (booktabs; more than nine columns also need graphicx).

    Parameters
    ----------
    frame
        What to print, without its index. Numbers are rounded to three significant digits, those of a column
        of shares (in [0, 1], at least one of 0.1 or more) to three decimals (NaN: ``--``); all other cells,
        the column names (underscores as spaces) and the caption are escaped; a column ``norm`` is set as
        mathematics.
    caption, label
        Of the table; the label goes in as it is.

    Raises
    ------
    InputError
        If the frame is empty.
    """
    check_frame(frame, f"table {label}", [])
    alignment, cells = "", {}
    for name, column in frame.items():
        number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        alignment += "r" if number else "l"
        if not number:
            cells[name] = _norm if name == "norm" else _text
        # 5.7e-06 in a column of shares is 0 to a reader; in a column of small distances it is not.
        elif len(known := column.dropna()) and known.between(0, 1).all() and known.max() >= 0.1:
            cells[name] = lambda value: _number(round(value, 3))  # type: ignore[call-overload]
        else:
            cells[name] = _number  # type: ignore[assignment]
    styler = frame.style.hide(axis="index").format(cells)
    styler.format_index(lambda name: escape_latex(str(name).replace("_", " ")), axis="columns")
    table = styler.to_latex(
        column_format=alignment,
        position_float="centering",
        hrules=True,
        caption=escape_latex(caption),
        label=label,
    )
    if len(frame.columns) > 9:
        table = table.replace("\\begin{tabular}", "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}")
        table = table.replace("\\end{tabular}", "\\end{tabular}\n}")
    beyond = beyond_latex(table)
    if beyond:
        table = f"% For XeLaTeX or LuaLaTeX, in a font that has: {' '.join(beyond)}\n{table}"
    return table


def save_table(output: Any, frame: pd.DataFrame, caption: str, label: str, note: str) -> None:
    """Write `frame` to the CSV file `output.numbers` and to the LaTeX file `output.latex`.

    `note` is what must be said of simulated scans, empty if all are recorded; it follows the caption.
    """
    write_csv(output.numbers, frame)
    write_text(output.latex, to_latex(frame, f"{caption} {note}".strip(), label))
