"""All claims as one table and as a page to read."""

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from neuroreg.files.markup import escape_html as escape

_STYLE = """
body { font: 14px/1.4 sans-serif; margin: 1.5em; color: #222; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 0.4em 0.7em; border-bottom: 1px solid #ccc; }
th { border-bottom: 2px solid #222; }
small { color: #555; }
.number { text-align: right; white-space: nowrap; }
.verdict { font-weight: bold; white-space: nowrap; }
.reproduced { color: #00695c; }
.not-reproduced { color: #a02020; }
.undecided { color: #6e6e6e; }
.note { color: #a02020; font-style: italic; }
"""
_HEAD = ("Claim", "Estimate", "95 % interval", "Holds if", "Paper", "Verdict", "Seeds", "Samples", "Note")


def claims_table(rows: Iterable[Mapping], scans: str) -> pd.DataFrame:
    """Return the rows of `judge` below each other.

    Parameters
    ----------
    rows
        As `judge` returns them.
    scans
        What must be said of simulated scans, empty if all are recorded; a column of its own, so that no
        verdict goes without it.
    """
    table = pd.DataFrame(list(rows)).astype({"seeds": "Int64", "samples": "Int64"})
    return table.assign(scans=scans)


def claims_page(table: pd.DataFrame) -> str:
    """Return the table of `claims_table` as one HTML page, all texts escaped."""
    notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in table["scans"].unique() if note)
    counts = table["verdict"].value_counts()
    summary = ", ".join(f"{count} {escape(verdict)}" for verdict, count in counts.items())
    head = "".join(f"<th>{escape(name)}</th>" for name in _HEAD)
    body = "\n".join(_row(row) for row in table.to_dict("records"))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Claims of the paper</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Claims of the paper</h1>
{notes}<p>Of {len(table)} claims: {summary}.</p>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</body>
</html>
"""


def show_number(value: float) -> str:
    """Return a number as tables of claims show it: three digits, a dash if there is none."""
    if pd.isna(value):
        return "–"
    if value == math.inf:
        return "∞"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def show_interval(low: float, high: float) -> str:
    """Return the ends of an interval as tables of claims show them, a dash if there are none."""
    return "–" if pd.isna(low) else f"{show_number(low)} to {show_number(high)}"


def _row(row: Mapping) -> str:
    interval = show_interval(row["low"], row["high"])
    # A second reading, where there is one: those without an adversarial at the largest distance possible.
    second = [
        f"<br><small>bound {escape(text)}</small>" if not pd.isna(row["bound"]) else ""
        for text in (show_number(row["bound"]), show_interval(row["bound_low"], row["bound_high"]))
    ]
    verdict = escape(row["verdict"])
    cells = [
        f"<td>{escape(row['sentence'])}<br><small>{escape(row['statistic'])}</small></td>",
        *(
            f'<td class="number">{escape(text)}{bound}</td>'
            for text, bound in zip((show_number(row["estimate"]), interval), second, strict=True)
        ),
        *(f"<td>{escape(row[name])}</td>" for name in ("holds_if", "paper")),
        f'<td class="verdict {verdict.replace(" ", "-")}">{verdict}</td>',
        *(f'<td class="number">{show_number(row[name])}</td>' for name in ("seeds", "samples")),
        f"<td><small>{escape(row['note'])}</small></td>",
    ]
    return f'<tr id="{escape(row["claim"])}">{"".join(cells)}</tr>'
