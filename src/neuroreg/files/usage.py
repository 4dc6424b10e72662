"""What a process took of the machine, as the last line of a job's log tells it."""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r" after (\d+\.\d) s of processor time(?: and (\d+) MB of memory)?$")
STATUS = Path("/proc/self/status")


class Usage(NamedTuple):
    """What a job's own process took until its last line; NaN where that is not known.

    Attributes
    ----------
    cpu_seconds
        Processor time.
    megabytes
        The largest resident set, in 2^20 bytes, as Snakemake and Slurm count.
    """

    cpu_seconds: float
    megabytes: float


def told_usage() -> str:
    """Return what this process has taken, for the end of a sentence; memory where the system tells it."""
    told = f"after {time.process_time():.1f} s of processor time"
    # Not getrusage: on Linux its peak begins with that of the program which exec replaced.
    with suppress(OSError):
        peak = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())
        told += f" and {int(peak[1]) / 1024:.0f} MB of memory" if peak else ""
    return told


def read_usage(log: str | Path) -> Usage:
    """Return what the last line of a job's log says; NaN if there is no log, or it does not say so."""
    with suppress(OSError):
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
        found = _LINE.search(lines[-1]) if lines else None
        if found:
            return Usage(float(found[1]), float(found[2] or "nan"))
    return Usage(float("nan"), float("nan"))
