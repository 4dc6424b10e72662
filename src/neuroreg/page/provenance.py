"""What a page says of where its results are from: how long jobs took, versions, machine, digests."""

import logging
import math
import os
import platform
import re
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from neuroreg import __version__
from neuroreg.files.storage import sha256
from neuroreg.files.usage import read_usage

logger = logging.getLogger(__name__)

# Whose version can change a number.
_PACKAGES = (
    *("snakemake", "torch", "torchvision", "numpy", "scipy", "pandas", "h5py", "foolbox", "numba"),
    *("scikit-image", "scikit-learn", "matplotlib", "seaborn"),
)


def stage_times(folder: str | Path, names: Collection[str]) -> pd.DataFrame:
    """Return what each rule's jobs took, from Snakemake's benchmark files and the jobs' own logs.

    Parameters
    ----------
    folder
        Holds ``benchmarks/<rule>.tsv``, or ``benchmarks/<rule>/<wildcard>/.../<wildcard>.tsv`` for rules with
        several jobs, and by the same names ``logs/<rule>.log``.
    names
        What wildcards can be; a file of another name is left from another configuration and does not count.
        Nor does one of another form than the rule's newest: of a search by attack where there is one for all
        attacks, or in parts.

    Returns
    -------
    pandas.DataFrame
        Columns stage (the rule), jobs, seconds and cpu_seconds (sums over jobs), megabytes (the largest
        resident set of any), in descending order of cpu_seconds. Of a job that went on after a break, the
        last try. Processor time and memory are what the job's log says; of a job whose log does not,
        what Snakemake saw when it looked.
    """
    benchmarks, logs = Path(folder) / "benchmarks", Path(folder) / "logs"
    forms: dict[str, dict[tuple, list[Path]]] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule, *wildcards = path.relative_to(benchmarks).with_suffix("").parts
        # A search in parts has several files for each attack.
        whole = [re.sub(r"\.part\d+$", "", name) for name in wildcards]
        if all(name in names for name in whole):
            form = len(whole), whole == wildcards
            forms.setdefault(rule, {}).setdefault(form, []).append(path)
    rows = [
        {"stage": rule} | _measured(path, logs / path.relative_to(benchmarks).with_suffix(".log"))
        for rule, paths in forms.items()
        for path in max(paths.values(), key=lambda group: max(path.stat().st_mtime_ns for path in group))
    ]
    table = pd.DataFrame(rows, columns=["stage", "seconds", "cpu_seconds", "megabytes"])
    groups = table.groupby("stage", sort=True)
    return (
        groups.agg(
            jobs=("seconds", "size"),
            seconds=("seconds", "sum"),
            cpu_seconds=("cpu_seconds", "sum"),
            megabytes=("megabytes", "max"),
        )
        .reset_index()
        .sort_values("cpu_seconds", ascending=False, kind="stable")
    )


def _measured(path: Path, log: Path) -> dict[str, float]:
    """Return what a job took; what is not known (``NA`` or ``-`` in the benchmark file's last row) is NaN."""
    columns = {"seconds": "s", "cpu_seconds": "cpu_time", "megabytes": "max_rss"}
    try:
        row = pd.read_csv(path, sep="\t").iloc[-1]
    except (ValueError, IndexError) as error:  # cut short, as on a full disk: no reason to have no page
        logger.warning("%s: not readable (%s); what this job took is not known", path, error)
        row = {}
    seen = {name: pd.to_numeric(row.get(column), errors="coerce") for name, column in columns.items()}
    told = read_usage(log)._asdict()
    return seen | {name: value for name, value in told.items() if not math.isnan(value)}


def versions() -> dict[str, str]:
    """Return the versions of this project, of Python, and of the packages that numbers can depend on."""
    found = {"neuroreg": __version__, "Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """Return this machine's system, processor, cores and memory, as far as they can be told."""
    found = {"System": platform.platform(), "Processor": _processor()}
    cores = os.cpu_count()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    found["Cores"] = f"{usable} of {cores}" if usable != cores else f"{cores}"
    if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(getattr(os, "sysconf_names", ())):
        found["Memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def file_digests(paths: Iterable[str | Path], folder: str | Path) -> Mapping[str, str]:
    """Return the SHA-256 of files by their paths relative to `folder`, those outside it by their names."""
    folder = Path(folder)
    digests = {}
    for path in map(Path, paths):
        name = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
        digests[name.as_posix()] = sha256(path)
    return dict(sorted(digests.items()))
