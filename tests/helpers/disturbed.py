"""Runs of the workflow as users start them, ways to disturb them, and what they leave."""

import contextlib
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "soak" / "tiny.yaml"
# Under these, logs hold times of day and benchmarks durations; everything else is compared byte for byte.
NOT_COMPARED = ("logs", "benchmarks")
# Seconds in which a disturbed run has to end, on a machine however busy.
ENDED = 300
_SCRIPT = re.compile(r"\.snakemake/scripts/[^/]*?\.(\w+)\.py$")


class Place:
    """A folder in which the same command is given until it has done its work.

    Parameters
    ----------
    folder
        Where; it is made.
    targets
        What is asked for; nothing for all.
    configs, cores, limits
        As on the command line; `limits` sets resource limits in the new process.
    """

    def __init__(self, folder, *targets, configs=(TINY,), cores=2, limits=None, root=ROOT):
        self.folder, self.targets, self.configs = Path(folder), targets, configs
        self.cores, self.limits, self.root = cores, limits, root
        self.folder.mkdir(parents=True, exist_ok=True)
        self.said = ""

    @property
    def results(self):
        return self.folder / "results"

    def start(self, *arguments):
        """Start the command in a process group of its own, as a terminal does."""
        command = [sys.executable, "-m", "snakemake", *self.targets, *arguments]
        command += ["--snakefile", self.root / "Snakefile", "--directory", self.folder]
        command += ["--cores", str(self.cores), "--configfile", *self.configs]
        self._log = (self.folder / "said.txt").open("w+b")
        return subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
            preexec_fn=self.limits,
        )

    def wait(self, process, seconds=None):
        """Wait until the command and all its jobs have ended; keep what it said, and return its exit code.

        One that has not ended after so many `seconds` fails the test, and is killed.
        """
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        for other in members(process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                other.wait()
        self._log.close()
        self.said = (self.folder / "said.txt").read_text(encoding="utf-8", errors="backslashreplace")
        return code

    def run(self, *arguments):
        return self.wait(self.start(*arguments))

    def unlock(self):
        """Do as the README says after Snakemake itself was killed."""
        if any((self.folder / ".snakemake" / "locks").glob("*")):
            assert self.run("--unlock") == 0, self.said

    def finish(self):
        """Run to the end, which must be a good one."""
        assert self.run() == 0, self.said[-4000:]

    def outputs(self):
        """SHA-256 of each output by its name."""
        return {
            path.relative_to(self.results).as_posix(): hashlib.sha256(lasting(path)).hexdigest()
            for path in sorted(self.results.rglob("*"))
            if path.is_file() and path.relative_to(self.results).parts[0] not in NOT_COMPARED
        }


def lasting(path):
    """The bytes of an output; of the page without the rows that say how long jobs took."""
    content = path.read_bytes()
    return (
        re.sub(rb'<tr><td data-label="stage">.*?</tr>', b"", content, flags=re.S)
        if path.suffix == ".html"
        else content
    )


def members(group):
    """The processes of a group, but for those that have ended and wait for their parent."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def jobs(group):
    """The scripts that run in a group, by process."""
    found = {}
    for process in members(group):
        with contextlib.suppress(psutil.Error):
            for part in process.cmdline():
                if match := _SCRIPT.search(part):
                    found[process] = match[1]
    return {process: name for process, name in found.items() if "python" in process_name(process)}


def process_name(process):
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def signal_group(number):
    """A disturbance: a signal to all processes of a run."""

    def disturb(process, rng):
        running = sorted(jobs(process.pid).values())
        os.killpg(process.pid, number)
        return running

    return disturb


def kill_job(process, rng):
    """A disturbance: SIGKILL to the process of one job alone, as for want of memory."""
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        running = sorted(jobs(process.pid).items(), key=lambda item: item[0].pid)
        if running:
            chosen, name = rng.choice(running)
            with contextlib.suppress(psutil.NoSuchProcess):
                chosen.kill()
                return [name]
        time.sleep(0.02)
    return []


DISTURBANCES = {
    "SIGKILL, whole group": signal_group(signal.SIGKILL),
    "SIGTERM, whole group": signal_group(signal.SIGTERM),
    "SIGINT, whole group": signal_group(signal.SIGINT),
    "SIGKILL, one job": kill_job,
}


@dataclass(frozen=True)
class Blow:
    """What has happened to a run: how, when, to which jobs, and what the command then said and returned."""

    kind: str
    moment: str
    jobs: tuple[str, ...]
    said: str
    code: int

    @property
    def tracebacks(self):
        """How many tracebacks of jobs were shown; those of Snakemake's own imports in a job do not count."""
        blocks = (block.split("\n\n")[0] for block in self.said.split("Traceback (most recent")[1:])
        # Line 2 of a job's script is Snakemake's own; tracebacks of two jobs may stand in each other.
        ours = re.compile(r'\.snakemake/scripts/[^"\n]*", line (?!2\b)\d+')
        return sum(ours.search(block) is not None for block in blocks)


def disturbed(place, kinds, seed, longest):
    """Give the same command again and again, disturbed once for each of `kinds`, then until it is done.

    Moments are drawn by `seed`: up to `longest` seconds after the first job has begun, but one in five while
    Snakemake itself still starts.

    Returns
    -------
    list of Blow
        As many as there was time for: a command may be done before.
    """
    rng, happened = random.Random(seed), []
    for kind in kinds:
        early, delay = rng.random() < 0.2, rng.uniform(0, longest)
        delay = delay / 4 if early else delay
        process = place.start()
        if not early:
            while process.poll() is None and not jobs(process.pid):
                time.sleep(0.05)
        end = time.monotonic() + delay
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if process.poll() is not None:
            assert place.wait(process) == 0, place.said[-4000:]
            break
        running = tuple(DISTURBANCES[kind](process, rng))
        code = place.wait(process, ENDED)
        assert code != 0, f"{kind} had no effect: {place.said[-2000:]}"
        after = "the start" if early else "the first job"
        happened.append(Blow(kind, f"{delay:.1f} s after {after}", running, place.said, code))
        place.unlock()
    place.finish()
    return happened


def differences(place, other):
    """What two places' outputs differ in, by name: nothing, where all is well."""
    here, there = place.outputs(), other.outputs()
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
