"""What the workflow says on the terminal at its start and its end, in a few plain lines."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from neuroreg.workflow.grid import grid_runs

LAST_LINES = 12  # of a failed job's log
MOST = 5  # files that are named at the end
_FIRST = ("fig1.pdf", "fig2.pdf", "noise.pdf")  # to open first
_ERROR = re.compile(r"^ *Error in rule (\w+):\n(?:.*\n)*?^ *log: (.+?) \(check log file", re.MULTILINE)

_MISSING = re.compile(r"config key '(\w+)(?:\[\d+\])?\.(\w+)': no (?:file|folder|file or folder) '")
_WAYS = {
    "stimuli.path": (
        "put photographs there, or name another folder in an overlay; without photographs, "
        "configs/public_scans.yaml laid over the config takes the images of public scans, and "
        "'stimuli: {source: photographs, path: null, pool_size: 500}' takes crops of those in the wheels"
    ),
    "classification.path": (
        "put train/<class>/ and test/<class>/ there, or name another folder in an overlay; "
        "'classification: {source: cifar10, path: data/cifar10, download: true}' downloads CIFAR-10"
    ),
    "scans.path": (
        "put the scan there, or name another file or folder in an overlay; '{name: ..., source: simulated, "
        "n_neurons: 150}' simulates one, configs/public_scans.yaml downloads eight (docs/scans.md)"
    ),
    "targets.weights": "put the weights there, or leave the key out: then torchvision downloads its own",
}


def ways(sentence: str) -> str:
    """Return how what a config names can be had, if `sentence` says that it is missing; else nothing."""
    found = _MISSING.match(sentence)
    way = _WAYS.get(".".join(found.groups())) if found else None
    return f" To have it: {way}." if way else ""


def opening(config: Mapping, note: str, folder: str | Path) -> str:
    """Return what is said before the first job.

    Parameters
    ----------
    config
        The whole config.
    note
        What must be said of simulated scans, empty if there are none.
    folder
        Where results appear.
    """
    attacked = grid_runs(config["conditions"])
    runs = {*grid_runs(config["sweep"]), *attacked}
    search = config["adversarial"]
    attacks = len(search["attacks"]) + len(search["tightening"])
    lines = [
        f"neuroreg, the whole config: {len(config['scans'])} scans, {len(runs)} networks, {len(attacked)} "
        f"of them attacked by {attacks} attacks on {search['samples']} images.",
        note,
        f"Results appear in {folder}, logs of jobs in {folder}/logs. What still holds is not made again.",
        "Below: each job as it starts, and how many are done. Ctrl-C stops; the same command goes on.",
    ]
    return "\n".join(["", *filter(None, lines), ""])


def closing(folder: str | Path, asked: Iterable[str], reached: Iterable[str]) -> str:
    """Return what is said after the last job: the verdicts, what to open first, the page.

    Parameters
    ----------
    folder
        Of the results.
    asked
        The files that were asked for.
    reached
        All files that the run has made, or found to hold: what else lies there, another run made, of
        another config it may be.
    """
    folder = Path(folder)
    there = {path.name for path in map(Path, reached) if path.parent == folder and path.is_file()}
    lines = []
    if "claims.csv" in there:
        verdicts = Counter()
        # Whatever became of the file since: this is said after all is done.
        with (
            (folder / "claims.csv").open(encoding="utf-8", errors="replace", newline="") as stream,
            suppress(csv.Error),
        ):
            verdicts.update(row.get("verdict") or "unreadable" for row in csv.DictReader(stream))
        listed = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        lines.append(f"Claims of the paper: {listed}.")
    page = folder / "index.html"
    wanted = _FIRST if page.name in there else [path.name for path in map(Path, asked)]
    first = sorted(there.intersection(wanted), key=lambda name: (not name.endswith(".pdf"), name))
    if first:
        lines.append(f"To open first, in {folder.resolve()}: {', '.join(first[:MOST])}.")
    if page.name in there:
        lines.append(f"All results on one page: {page.resolve()}")
    elif first and page.is_file():
        lines.append(f"The page {page.resolve()} is of an earlier run; asked for, it is made anew.")
    return "\n".join(["", *lines, ""])


def failing(logs: Iterable[str | Path]) -> str:
    """Return what is said after a failure: the end of each failed job's log, and where that log is.

    Parameters
    ----------
    logs
        Snakemake's own of the run.
    """
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs if Path(log).is_file()]
    failed = dict.fromkeys(match for text in texts for match in _ERROR.findall(text))
    return "\n".join(["", *(line for rule, path in failed for line in _end_of(rule, path)), ""])


def _end_of(rule: str, path: str) -> Iterable[str]:
    yield f"{rule} failed. The end of its log, {path}:"
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    yield from (f"    {line}" for line in lines[-LAST_LINES:] or ["(it wrote none; see the message above)"])
