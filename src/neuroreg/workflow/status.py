"""One line at the foot of the terminal: how far the run and each running job is, and the time left."""

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

SECONDS = 1.0  # between two looks at the logs
_PAUSE = 0.3  # seconds in which Snakemake writes what it has just logged
_CLEAR = "\r\x1b[K"
_BAR = 20  # letters
_TAIL = 4096  # bytes of a log that hold its last lines
_STEP = re.compile(r"\b(attack|epoch|batch) (\d+)(?:(?:/| of )(\d+))?(?=[:, ])")
_LEFT = re.compile(r", (\d+) s left$", re.MULTILINE)
_PERCENT = re.compile(r": (\d+ %) of ")  # of a download


@dataclass
class Job:
    """A job that Snakemake has started.

    Attributes
    ----------
    name, rule
        As Snakemake shows it, and its rule.
    log
        Where it writes.
    begun
        On the clock of the `StatusLine`.
    older
        What its log was before: an earlier run's says nothing of this job.
    """

    name: str
    rule: str
    log: Path | None
    begun: float
    older: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.older = _state(self.log)

    def last_lines(self) -> str:
        """Return the end of what it has written, nothing if it has not begun."""
        state = _state(self.log)
        if self.log is None or state is None or state == self.older:
            return ""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, state[1] - _TAIL))
                return stream.read().decode("utf-8", errors="replace")
        except OSError:
            return ""


@dataclass
class Counts:
    """Jobs of the run: how many there are of each rule, how many have ended, and how long those took."""

    planned: dict[str, int] = field(default_factory=dict)
    total: int = 0
    done: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def mean(self, rule: str) -> float | None:
        """Return the mean seconds of a rule's jobs, None before the first has ended."""
        seconds = self.seconds.get(rule)
        return sum(seconds) / len(seconds) if seconds else None


def read_step(text: str) -> str:
    """Return how far a job is, from the end of its log: the last attack, epoch or batch that it names."""
    last: dict[str, str] = {}
    for name, number, total in _STEP.findall(text):
        if name == "attack":
            last.clear()  # batches count anew
        last[name] = f"{name} {number}/{total}" if total else f"{name} {number}"
    return ", ".join(last.values()) or next(reversed(_PERCENT.findall(text)), "")


def read_left(text: str) -> float | None:
    """Return the seconds that a job expects to need, as it wrote them last; None if it has not."""
    found = _LEFT.findall(text)
    return float(found[-1]) if found else None


def duration(seconds: float) -> str:
    """Return a time in the unit that a reader would take."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


class StatusLine(logging.Handler):
    """Follows Snakemake's log and keeps a line of a terminal up to date below it.

    Its place is before the handler that writes to the same terminal: at each record it takes the line away,
    and draws it again when the record has been written.

    Parameters
    ----------
    terminal
        Where to draw.
    clock
        Seconds.
    """

    def __init__(self, terminal: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.counts, self.jobs = Counts(), dict[int, Job]()
        self._terminal, self._clock, self._shown = terminal, clock, False
        self._begun = self._silent = clock()
        self._drawing, self._ended = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="status line", daemon=True)

    def start(self) -> None:
        """Begin to draw; jobs that are started from now on leave their own lines to this one."""
        os.environ["NEUROREG_STATUS"] = "1"
        self._begun = self._clock()
        self._thread.start()

    def end(self) -> None:
        """Take the line away and draw no more; nothing if that was done before."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._drawing:
            self._clear()

    def emit(self, record: logging.LogRecord) -> None:
        """Note what Snakemake says of its jobs."""
        try:
            with self._drawing:
                self._clear()
                self._silent = self._clock() + _PAUSE
                self._note(getattr(getattr(record, "event", None), "name", ""), record)
        except Exception:
            self.handleError(record)

    def text(self) -> str:
        """Return the line, of any length; nothing while no job runs."""
        if not self.jobs:
            return ""
        done, total = self.counts.done, max(self.counts.total, self.counts.done, 1)
        filled = _BAR * done // total
        whole = f"[{'#' * filled}{'.' * (_BAR - filled)}] {done} of {total} jobs"
        now, parts = self._clock(), []
        left: dict[int, float | None] = {}
        for number, job in self.jobs.items():
            lines = job.last_lines()
            left[number] = seconds = self._left_of(job, lines, now)
            if lines or len(self.jobs) == 1:
                time_left = "" if seconds is None else f"{duration(seconds)} left"
                words = ", ".join(filter(None, (read_step(lines), time_left)))
                parts.append(f"{job.name}: {words}" if words else job.name)
        return " | ".join([", ".join(filter(None, (whole, self._left(left, now)))), *parts])

    def _note(self, event: str, record: Any) -> None:
        if event == "RUN_INFO":
            self.counts.planned = {rule: n for rule, n in record.stats.items() if rule != "total"}
            self.counts.total = record.stats.get("total", 0)
        elif event == "JOB_INFO":
            log = next(iter(record.log or ()), None)
            name = " ".join([record.rule_name, *map(str, (record.wildcards or {}).values())])
            self.jobs[record.jobid] = Job(name, record.rule_name, log and Path(log), self._clock())
        elif event == "JOB_FINISHED":
            if job := self.jobs.pop(record.job_id, None):
                self.counts.seconds.setdefault(job.rule, []).append(self._clock() - job.begun)
        elif event == "JOB_ERROR":
            self.jobs.pop(record.jobid, None)
        elif event == "PROGRESS":
            self.counts.done, self.counts.total = record.done, record.total

    def _left_of(self, job: Job, lines: str, now: float) -> float | None:
        """Return the seconds that a job needs: by its own word, else by what others of its rule took."""
        own, mean = read_left(lines), self.counts.mean(job.rule)
        if own is not None or mean is None:
            return own
        return mean - (now - job.begun) if now < job.begun + mean else None

    def _left(self, of_jobs: dict[int, float | None], now: float) -> str:
        """Return the time left for the whole, at the pace so far; a lower bound where a rule is new."""
        ended = {rule: len(seconds) for rule, seconds in self.counts.seconds.items()}
        running = [job.rule for job in self.jobs.values()]
        work, open_end = 0.0, None in of_jobs.values()
        work += sum(filter(None, of_jobs.values()))
        for rule, planned in self.counts.planned.items():
            waiting = planned - ended.get(rule, 0) - running.count(rule)
            mean = self.counts.mean(rule)
            # Rule all has nothing to do.
            open_end |= mean is None and waiting > 0 and rule != "all"
            work += max(waiting, 0) * (mean or 0)
        worked = sum(map(sum, self.counts.seconds.values()))
        worked += sum(now - job.begun for job in self.jobs.values())
        if not work or worked <= 0:
            return ""
        left = work * (now - self._begun) / worked
        return f"{'more than ' if open_end else 'about '}{duration(left)} left"

    def _follow(self) -> None:
        while not self._ended.wait(SECONDS):
            with self._drawing:
                if self._clock() >= self._silent:
                    self._draw()

    def _draw(self) -> None:
        text = self.text()
        columns = _columns(self._terminal)
        if len(text) >= columns:
            text = f"{text[: columns - 2]}…"
        try:
            self._terminal.write(f"{_CLEAR}{text}")
            self._terminal.flush()
        except (OSError, ValueError):  # a terminal that is gone
            self._ended.set()
        self._shown = bool(text)

    def _clear(self) -> None:
        if self._shown:
            self._terminal.write(_CLEAR)
            self._terminal.flush()
            self._shown = False


def status_line(terminal: TextIO, quiet: Iterable[str]) -> StatusLine | None:
    """Return a line for a terminal that can draw one, None for all else and where quiet is asked for.

    Parameters
    ----------
    terminal
        Where Snakemake writes.
    quiet
        What it shall be quiet about, in its words.
    """
    capable = terminal.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return StatusLine(terminal) if capable and not {"all", "progress"} & set(quiet) else None


def _columns(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def _state(path: Path | None) -> tuple[int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size)
