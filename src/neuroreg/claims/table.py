"""All claims as one table."""

from collections.abc import Iterable, Mapping

import pandas as pd


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
