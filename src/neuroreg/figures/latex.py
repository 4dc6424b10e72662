"""Frames as LaTeX tables."""

import math
import numbers

import pandas as pd

from neuroreg.analysis.checks import NORMS, check_frame

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escape_latex(text: str) -> str:
    """Return `text` so that LaTeX prints it as it stands, line breaks as spaces."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


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
    numeric = [
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        for dtype in frame.dtypes
    ]
    # 5.7e-06 in a column of shares is 0 to a reader; in a column of small distances it is not.
    shares = [
        is_number and frame[name].between(0, 1).fillna(False).all() and frame[name].max() >= 0.1
        for name, is_number in zip(frame.columns, numeric, strict=True)
    ]
    head = " & ".join(escape_latex(str(name).replace("_", " ")) for name in frame.columns)
    body = []
    for row in frame.itertuples(index=False):
        cells = []
        for name, is_number, is_share, value in zip(frame.columns, numeric, shares, row, strict=True):
            if is_number:
                cells.append(_number(round(value, 3) if is_share else value))
            elif name == "norm" and value in NORMS:
                cells.append(NORMS[value])
            else:
                cells.append(escape_latex(str(value)))
        body.append(" & ".join(cells) + r" \\")
    tabular = [
        rf"\begin{{tabular}}{{{''.join('r' if is_number else 'l' for is_number in numeric)}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if len(frame.columns) > 9:
        tabular = [r"\resizebox{\textwidth}{!}{%", *tabular, "}"]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{{label}}}",
        *tabular,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
