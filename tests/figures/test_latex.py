import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.errors import InputError
from neuroreg.figures.latex import escape_latex, to_latex

INF = float("inf")


def test_every_special_character_is_escaped():
    assert escape_latex("a_b & 50% #1 $x$ {y} ~ ^ \\") == (
        r"a\_b \& 50\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert escape_latex("two\nlines") == "two lines"


def test_latex_table_line_by_line():
    frame = pd.DataFrame(
        {
            "norm": ["linf", "l2"],
            "my_label": ["A&B", "50 %"],
            "seeds": [3, 1200],
            "small": [0.0033333, 1.23456e-05],
            "share": [0.25, 5.7e-06],
            "large": [1234.5, INF],
            "gap": [np.nan, 1.0],
            "open": [np.nan, 0.12345],
        }
    )
    assert to_latex(frame, "Costs 5_$", "tab:x_1").splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Costs 5\_\$}",
        r"\label{tab:x_1}",
        r"\begin{tabular}{llrrrrrr}",
        r"\toprule",
        r"norm & my label & seeds & small & share & large & gap & open \\",
        r"\midrule",
        r"$L_\infty$ & A\&B & 3 & 0.00333 & 0.25 & 1234 & -- & -- \\",
        r"$L_2$ & 50 \% & 1200 & $1.23 \times 10^{-5}$ & 0 & $\infty$ & 1 & 0.123 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_a_wide_latex_table_is_fitted_to_the_page_and_closed_again():
    frame = pd.DataFrame({f"column_{index}": [index / 7, 2.0] for index in range(10)})
    text = to_latex(frame, "c", "tab:two")
    assert text.count("{") == text.count("}")
    assert "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}" in text
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1]
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") + 1 for line in body} == {len(columns)}
    assert "resizebox" not in to_latex(frame.iloc[:, :9], "c", "tab:two")


def test_an_empty_latex_table_is_refused():
    with pytest.raises(InputError, match="no rows"):
        to_latex(pd.DataFrame({"a": []}), "c", "l")


def test_gaps_in_whole_numbers():
    frame = pd.DataFrame({"n": pd.array([3, None], "Int64"), "none": pd.array([None, None], "Int64")})
    lines = to_latex(frame, "c", "l").splitlines()
    assert r"3 & -- \\" in lines
    assert r"-- & -- \\" in lines


def printed(latex):
    """What LaTeX prints for text without commands but those for single characters."""
    names = {
        "textbackslash": "\\",
        "textasciitilde": "~",
        "textasciicircum": "^",
        "textless": "<",
        "textgreater": ">",
        "textbar": "|",
        "textasciigrave": "`",
        "textquotesingle": "'",
        "symbol{34}": '"',
    }
    out, at = "", 0
    while at < len(latex):
        rest = latex[at:]
        command = next((name for name in names if rest.startswith(f"\\{name}")), None)
        if command:
            out += names[command]
            at += 1 + len(command) + (0 if command.startswith("symbol") else len("{}"))
        elif re.match(r"\\[&%$#_{}]", rest):
            out += rest[1]
            at += 2
        elif re.match(r"\{[\[*-]\}", rest):
            out += rest[1]
            at += 3
        else:
            assert rest[0] not in "\\&%$#_{}~^<>|\"`'", rest
            assert not rest.startswith("--"), rest
            out += rest[0]
            at += 1
    return out


@given(st.text(st.sampled_from("\\&%$#_{}~^<>|\"`'[]*-a {}神\n\t"), max_size=20))
def test_any_text_is_printed_as_it_stands(text):
    assert printed(escape_latex(text)) == " ".join(text.split())


def test_a_table_with_letters_beyond_latex_says_so_first():
    frame = pd.DataFrame({"label": ["神经 µ – é", "x"], "mean": [1.0, 2.0]})
    table = to_latex(frame, "A caption.", "tab:x")
    assert table.startswith("% For XeLaTeX or LuaLaTeX, in a font that has: 神 经\n\\begin{table}")
    assert to_latex(frame.assign(label="é"), "A caption.", "tab:x").startswith("\\begin{table}")
