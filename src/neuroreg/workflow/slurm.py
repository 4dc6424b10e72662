"""What becomes of jobs on a Slurm, told in plain words while Snakemake runs.

The executor waits for ever for a job that no partition takes, and of one that was killed it says "FAILED".
"""

import getpass
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SECONDS = 30  # between two looks
_FORMAT = "%i|%T|%r|%l|%m|%k|%Z"
_MEMORY = re.compile(r"exceeded (job )?memory limit|oom[-_ ]kill", re.IGNORECASE)
# Reasons to wait that time does not change: https://slurm.schedmd.com/job_reason_codes.html
_TIME = re.compile(r"TimeLimit|MaxWall")
_SPACE = re.compile(r"MaxMemPerLimit|Max\w*Mem\w*Per(Job|Node)")
_NEVER = re.compile(r"PartitionNodeLimit|BadConstraints|Invalid|NotAllowed|NeverSatisfied|Max\w*PerJob")


class Job(NamedTuple):
    """A job as `squeue` shows it: limits as Slurm writes them, comment as Snakemake does."""

    number: str
    state: str
    reason: str
    time: str
    memory: str
    comment: str
    folder: str


def parse(text: str) -> list[Job]:
    """Return the jobs that `squeue` has printed."""
    lines = (line.strip().split("|", len(Job._fields) - 1) for line in text.splitlines())
    return [Job(*fields) for fields in lines if len(fields) == len(Job._fields)]


def sentence(job: Job, log: str) -> str | None:
    """Return what is to be told of a job: that it cannot start, or for what it was killed; None if nothing.

    Parameters
    ----------
    job
        Its state.
    log
        What it has written so far, where Slurm notes kills.
    """
    name = f"Slurm job {job.number} ({job.comment.removeprefix('rule_').replace('_wildcards_', ' ')})"
    if job.state == "PENDING":
        if _TIME.search(job.reason):
            remedy = f"it asks for a time of {job.time}, more than is allowed; set cluster.max_minutes"
        elif _SPACE.search(job.reason):
            remedy = f"it asks for {job.memory} of memory, more than is allowed; set cluster.max_megabytes"
        elif _NEVER.search(job.reason):
            remedy = "change the resources or the partition that it asks for"
        else:
            return None
        return f"{name} can't start, Slurm says {job.reason}: {remedy}, then stop with Ctrl-C and run again."
    if job.state == "TIMEOUT" or "DUE TO TIME LIMIT" in log:
        return (
            f"{name} was killed when its time was over, {job.time}; a retry asks for more, and fits, "
            "trainings and searches go on where they were."
        )
    if job.state == "OUT_OF_MEMORY" or (job.state == "FAILED" and _MEMORY.search(log)):
        return f"{name} was killed for memory, it had asked for {job.memory}; a retry asks for more."
    return None


class Watch(threading.Thread):
    """Looks after the jobs of this working directory until the program ends.

    Parameters
    ----------
    folder
        Snakemake's working directory.
    tell
        Called with each sentence, once.
    """

    def __init__(self, folder: Path, tell: Callable[[str], object]) -> None:
        super().__init__(name="slurm watch", daemon=True)
        self.folder, self.tell = folder.resolve(), tell
        self._told: set[tuple[str, str]] = set()
        self._ended = threading.Event()
        self._look(lambda _: None)  # jobs of an earlier run

    def run(self) -> None:
        """Look again and again."""
        while not self._ended.wait(SECONDS):
            self._look(self.tell)

    def end(self) -> None:
        """Stop after a last look."""
        self._ended.set()
        if self.is_alive():
            self.join()
        self._look(self.tell)

    def _look(self, tell: Callable[[str], object]) -> None:
        command = [
            "squeue",
            "--noheader",
            "--states=all",
            f"--user={getpass.getuser()}",
            f"--format={_FORMAT}",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return
        for job in parse(done.stdout):
            if Path(job.folder) != self.folder or (job.number, job.state) in self._told:
                continue
            text = sentence(job, self._log(job))
            if text:
                self._told.add((job.number, job.state))
                tell(text)

    def _log(self, job: Job) -> str:
        if job.state in ("PENDING", "RUNNING", "COMPLETED"):
            return ""
        logs = (self.folder / ".snakemake" / "slurm_logs").rglob(f"{job.number}.log")
        return "".join(path.read_text(errors="replace") for path in logs)
