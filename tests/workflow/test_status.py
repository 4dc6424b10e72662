"""The line at the foot of a terminal."""

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from neuroreg.workflow.status import StatusLine, duration, read_left, read_step, status_line

CLEAR = "\r\x1b[K"
TRAINING = "2026-11-26 10:00:00,000 epoch 3/10: task loss 1.2, gamma 0.20 0.20, accuracy 0.300, 12 s left\n"
SEARCH = """\
2026-11-26 10:00:00,000 attack 1 of 2: pgd
2026-11-26 10:00:00,000 pgd: batch 7 of 7, 28 rows, 3.4 s, 0 s left for this attack
2026-11-26 10:00:00,000 attack 2 of 2: ddn
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def line():
    """A line on a clock that the test sets."""
    now = [100.0]
    made = StatusLine(Terminal(), clock=lambda: now[0])
    made.now = now
    return made


def tell(line, event, **fields):
    record = logging.makeLogRecord({"levelno": logging.INFO, "event": event, **fields})
    line.handle(record)


def begin(line, number, rule, log, **wildcards):
    tell(
        line,
        LogEvent.JOB_INFO,
        jobid=number,
        rule_name=rule,
        rule_msg=None,
        log=[str(log)],
        wildcards=wildcards,
    )


@pytest.mark.parametrize(
    ("text", "step", "left"),
    [
        (TRAINING, "epoch 3/10", 12.0),
        (TRAINING + TRAINING.replace("3/10", "4/10").replace("12 s", "9 s"), "epoch 4/10", 9.0),
        (SEARCH, "attack 2/2", None),
        (
            SEARCH + "ddn: batch 2 of 7, 28 rows, 3.4 s, 99 s left for this attack\n",
            "attack 2/2, batch 2/7",
            None,
        ),
        (
            "x epoch 12: learning rate 0.1, loss 1, validation correlation 0.2, at most 7 s left\n",
            "epoch 12",
            None,
        ),
        ("x scan.zip: 15 % of 80.0 MB, 1.0 MB/s, 1:08 left\n", "15 %", None),
        ("going on\n", "", None),
        ("", "", None),
    ],
)
def test_the_end_of_a_log_says_how_far_a_job_is(text, step, left):
    assert read_step(text) == step
    assert read_left(text) == left


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (150, "2 min"), (5400, "90 min"), (9000, "2.5 h")]
)
def test_times_have_the_unit_of_a_reader(seconds, text):
    assert duration(seconds) == text


def test_the_line_follows_the_jobs(line, tmp_path):
    tell(line, LogEvent.RUN_INFO, stats={"train_model": 3, "plot": 1, "total": 4})
    assert line.text() == ""
    log = tmp_path / "1.log"
    log.write_text(TRAINING)  # an earlier run's
    begin(line, 1, "train_model", log, model="none", seed="1")
    assert line.text() == "[....................] 0 of 4 jobs | train_model none 1"
    log.write_text(TRAINING.replace("3/10", "1/10"))
    # Of 12 s and the work of others, which nothing tells about.
    line.now[0] += 4
    assert line.text() == (
        "[....................] 0 of 4 jobs, more than 12 s left | train_model none 1: epoch 1/10, 12 s left"
    )
    line.now[0] += 16
    tell(line, LogEvent.JOB_FINISHED, job_id=1)
    tell(line, LogEvent.PROGRESS, done=1, total=4)
    begin(line, 2, "train_model", tmp_path / "2.log", model="none", seed="2")
    begin(line, 3, "train_model", tmp_path / "3.log", model="none", seed="3")
    line.now[0] += 5
    # Two trainings of 20 s, 5 of which have passed: 30 s of work, at a pace of 30 s of work in 25 s.
    assert line.text().startswith("[#####...............] 1 of 4 jobs, more than 25 s left")
    for number in (2, 3):
        tell(line, LogEvent.JOB_FINISHED, job_id=number)
    begin(line, 4, "plot", tmp_path / "4.log")
    tell(line, LogEvent.PROGRESS, done=3, total=4)
    assert line.text() == "[###############.....] 3 of 4 jobs | plot"
    tell(line, LogEvent.JOB_ERROR, jobid=4)
    assert line.text() == ""


def test_what_every_rule_took_makes_it_no_lower_bound(line, tmp_path):
    tell(line, LogEvent.RUN_INFO, stats={"plot": 2, "all": 1, "total": 3})
    begin(line, 1, "plot", tmp_path / "1.log")
    line.now[0] += 10
    tell(line, LogEvent.JOB_FINISHED, job_id=1)
    begin(line, 2, "plot", tmp_path / "2.log")
    line.now[0] += 2
    assert "about 8 s left" in line.text()
    line.now[0] += 20  # longer than the other
    assert "left" not in line.text()


def test_a_record_takes_the_line_away_before_it_is_written(line, tmp_path):
    begin(line, 1, "plot", tmp_path / "1.log")
    line._draw()
    terminal = line._terminal
    assert terminal.getvalue().endswith("| plot")
    tell(line, None)
    assert terminal.getvalue().endswith(CLEAR)
    line.end()
    assert terminal.getvalue().endswith(f"| plot{CLEAR}")


def test_a_line_is_no_wider_than_the_terminal(line, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    begin(line, 1, "plot", tmp_path / "1.log")
    line._draw()
    drawn = line._terminal.getvalue().rpartition(CLEAR)[2]
    assert len(drawn) == 29 and drawn.endswith("…")


def test_what_it_cannot_read_stops_no_run(line, capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    tell(line, SimpleNamespace(name="JOB_INFO"))
    assert line.jobs == {}
    assert "AttributeError" in capsys.readouterr().err


def test_there_is_none_where_none_can_be_drawn(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert status_line(Terminal(), ["host"]) is not None
    assert status_line(Terminal(), ["host", "progress"]) is None
    assert status_line(Terminal(), ["all"]) is None
    assert status_line(io.StringIO(), []) is None
    monkeypatch.setenv("TERM", "dumb")
    assert status_line(Terminal(), []) is None


def command(root, folder, *targets):
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile", "--directory", folder),
        *("--cores", "2", "--configfile", root / "configs/smoke.yaml", "--", *targets),
    ]


def on_a_terminal(arguments):
    """What a terminal of 150 columns gets, and the exit code."""
    process, place = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        os.execv(arguments[0], list(map(str, arguments)))
    fcntl.ioctl(place, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    got = b""
    with os.fdopen(place, "rb", buffering=0) as stream:
        try:
            while block := stream.read(65536):
                got += block
        except OSError:  # how Linux tells that the other side has closed
            pass
    return got.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_a_terminal_shows_the_jobs_as_they_run_and_a_pipe_plain_lines(root, tmp_path):
    targets = ["results/attacks/none/seed1/pgd.h5"]
    shown, code = on_a_terminal(command(root, tmp_path, *targets))
    assert code == 0, shown[-3000:]
    lines = [part for part in re.split(r"[\r\n]", shown) if part.startswith("\x1b[K[")]
    assert any(re.search(r"\] 0 of \d jobs \| .*prepare_classification", one) for one in lines)
    assert any(re.search(r"train_model none 1: epoch \d/4, \d+ s left", one) for one in lines)
    assert any(re.search(r"search_adversarials none 1: attack \d/5", one) for one in lines)
    assert all(len(one) - len("\x1b[K") < 150 for one in lines)
    # Each is taken away again: what Snakemake writes begins lines of its own.
    assert re.search(r"^\S*Finished jobid: ", shown.replace(CLEAR, "\n"), re.MULTILINE)
    last = shown.rpartition(CLEAR)[2]
    assert "steps (100%) done" in shown and not last.startswith("[#")

    plain = subprocess.run(
        command(root, tmp_path, "results/scans/simulated2.json"), capture_output=True, check=True
    )
    assert b"\r" not in plain.stderr + plain.stdout and b"\x1b" not in plain.stderr + plain.stdout
    assert b"done" in plain.stderr
