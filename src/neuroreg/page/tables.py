"""The results' tables as a page shows them: a head, and rows of short texts."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from neuroreg.errors import InputError

SUMMARY = {
    "scan": str,
    "neurons": {"kept": int, "read": int},
    "trials": {str: int},
    "images": {"count": int, "different": int, "sha256": str},
}
"""What of a scan's summary stands on the page, as `neuroreg.files.forms` has it."""
NORMS = {"l0": "L0", "l1": "L1", "l2": "L2", "linf": "L∞"}


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: a text, a smaller one below it, and whether it is a number."""

    text: str
    below: str = ""
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table: names of its columns, rows of as many cells."""

    head: tuple[str, ...]
    rows: list[list[Cell]] = field(default_factory=list)


def show_number(value: float) -> str:
    """Return a number as the page shows it: three digits, a dash if there is none."""
    if pd.isna(value):
        return "–"
    if value == math.inf:
        return "∞"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def show_interval(low: float, high: float) -> str:
    """Return the ends of an interval as the page shows them, a dash if there are none."""
    return "–" if pd.isna(low) else f"{show_number(low)} to {show_number(high)}"


def cell(value: Any, below: str = "") -> Cell:
    """Return the cell of a value: numbers with three digits, a dash where there is none."""
    number = isinstance(value, (int, float)) or pd.api.types.is_number(value)
    if number or pd.isna(value):
        return Cell(show_number(value), below, number=True)
    return Cell(str(value), below)


def whole_table(frame: pd.DataFrame, names: Mapping[str, str]) -> Table:
    """Return the columns of a frame that `names` has, under the names that it gives them."""
    columns = frame[list(names)].to_dict("records")
    return Table(tuple(names.values()), [[cell(row[name]) for name in names] for row in columns])


def gamma_table(table1: pd.DataFrame) -> Table:
    """Return Table 1: each layer's gamma per alpha, the paper's below it."""
    layers = [name for name in table1.columns if name.startswith("g") and f"paper_{name}" in table1.columns]
    others = [name for name in table1.columns if name[0] == "g" and name not in layers]
    rows = [
        [
            cell(row["alpha"]),
            cell(row["seeds"]),
            *(cell(row[name], f"paper {show_number(row[f'paper_{name}'])}") for name in layers),
            *(cell(row[name]) for name in others),
        ]
        for row in table1.to_dict("records")
    ]
    names = (f"γ{name.removeprefix('g')}" for name in (*layers, *others))
    return Table(("alpha", "seeds", *names), rows)


def distance_table(table2: pd.DataFrame) -> Table:
    """Return Table 2 in short: means and medians with intervals, success, and who won most often."""
    head = ("norm", "condition", "mean", "95\u00a0% interval", "at most", "median", "95\u00a0% interval")
    rows = []
    for row in table2.to_dict("records"):
        wins = {name.removeprefix("wins_"): row[name] for name in row if name.startswith("wins_")}
        best = max(wins, key=wins.__getitem__) if wins and max(wins.values()) else ""
        rows.append(
            [
                Cell(NORMS[row["norm"]]),
                Cell(row["label"]),
                cell(row["mean"]),
                Cell(show_interval(row["mean_low"], row["mean_high"]), number=True),
                cell(row["bound"]),
                cell(row["median"]),
                Cell(show_interval(row["median_low"], row["median_high"]), number=True),
                cell(row["n"], f"{row['n_correct']} attacked, {row['not_found']} withstood"),
                Cell(best.replace("_", " "), f"{wins[best]} of {sum(wins.values())}" if best else ""),
            ]
        )
    return Table((*head, "images × seeds", "best attack"), rows)


def correlation_table(similarity: pd.DataFrame) -> Table:
    """Return each scan's correlations of similarities, the paper's beside them."""
    found = similarity[(similarity["panel"] == "scans") & similarity["paper"].notna()]
    return whole_table(found, {"scan": "scan", "comparison": "similarity of", "r": "r", "paper": "paper"})


def masking_table(masking: pd.DataFrame) -> Table:
    """Return how many rows of each check for masked gradients are flagged, and the worst that was found."""
    rows = []
    for check, found in masking.groupby("check", sort=False):
        flagged = int((found["flag"] == "flag").sum())
        decided = int((found["flag"] != "none").sum())
        rows.append(
            [
                Cell(str(check)),
                Cell(f"{flagged} of {decided}", number=True),
                Cell(
                    f"{show_number(found['value'].min())} to {show_number(found['value'].max())}", number=True
                ),
                Cell(", ".join(dict.fromkeys(found["expected"].dropna().astype(str)))),
            ]
        )
    return Table(("check", "flagged", "found", "expected"), rows)


def scan_table(summaries: Iterable[Mapping], sources: Mapping[str, str]) -> Table:
    """Return what is in each scan, and whether it is simulated or recorded.

    Parameters
    ----------
    summaries
        As of `neuroreg.scans.summary.summarise_scan`.
    sources
        Each scan's name to its ``source`` in the config.

    Raises
    ------
    InputError
        If a summary is of another scan.
    """
    rows = []
    for found in summaries:
        neurons, trials = found["neurons"], found["trials"]
        if found["scan"] not in sources:
            raise InputError(f"summary of the scan '{found['scan']}'; expected one of {', '.join(sources)}.")
        rows.append(
            [
                Cell(found["scan"]),
                Cell(sources[found["scan"]]),
                cell(neurons["kept"], f"of {neurons['read']} read"),
                cell(sum(trials.values()), ", ".join(f"{count} {tier}" for tier, count in trials.items())),
                cell(found["images"]["count"]),
                Cell(found["images"]["sha256"][:16], "first 16 digits"),
            ]
        )
    return Table(("scan", "source", "neurons", "trials", "images", "SHA-256 of its images"), rows)


def time_table(times: pd.DataFrame) -> Table:
    """Return the rows of `neuroreg.page.provenance.stage_times`, and their sums."""
    rows = [
        [
            Cell(row["stage"]),
            cell(row["jobs"]),
            Cell(_duration(row["seconds"]), number=True),
            Cell(_duration(row["cpu_seconds"]), number=True),
            Cell(_megabytes(row["megabytes"]), number=True),
        ]
        for row in times.to_dict("records")
    ]
    if rows:
        seconds, cpu, peak = (times[name] for name in ("seconds", "cpu_seconds", "megabytes"))
        last = (_duration(seconds.sum()), _duration(cpu.sum()), _megabytes(peak.max()))
        total = [cell(int(times["jobs"].sum())), *(Cell(text, number=True) for text in last)]
        rows.append([Cell("all"), *total])
    return Table(("stage", "jobs", "time, summed over jobs", "CPU time", "largest memory"), rows)


def _duration(seconds: float) -> str:
    if pd.isna(seconds):
        return "–"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _megabytes(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0f} MB"
