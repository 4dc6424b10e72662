"""How a job ends, as a process of its own."""

import math
import os
import platform
import re
import signal
import subprocess
import sys
import time

import pytest
from disks import fill, small_disk

from neuroreg.files.usage import STATUS, read_usage
from neuroreg.workflow.job import BAD_INPUT, REFUSED

SCRIPT = """
import sys, time
from types import SimpleNamespace
from pathlib import Path
from neuroreg.errors import InputError
from neuroreg.files.storage import atomic_path, write_text
from neuroreg.workflow.job import run_job

folder = Path(sys.argv[1])

def main(snakemake):
    {body}

run_job(main, SimpleNamespace(rule="some_rule", log=[folder / "logs/x.log"], threads=1))
"""


def start(folder, body, **environment):
    command = [sys.executable, "-c", SCRIPT.format(body=body), folder]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | environment, **pipes)


def ended(process):
    stderr = process.communicate(timeout=300)[1].decode()
    return process.returncode, stderr


def log_of(folder):
    return (folder / "logs" / "x.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        ("raise InputError('data/x: bad; expected good.')", BAD_INPUT, "data/x: bad; expected good."),
        (
            "(folder / '.x.partial.txt').symlink_to('/dev/full'); write_text(folder / 'x.txt', 'x' * 10000)",
            REFUSED,
            "{}/x.txt: no space left on its disk; free some, then run the same command again.",
        ),
        (
            "open(folder / 'no' / 'file')",
            REFUSED,
            "{}/no/file: no such file or folder; expected it.",
        ),
        ("raise InputError('data/\\udcff: {}')", BAD_INPUT, "data/\\udcff: {{}}"),
    ],
)
def test_an_end_that_is_no_bug_is_one_sentence_and_a_code_of_its_own(tmp_path, body, code, sentence):
    expected = sentence.format(tmp_path)
    assert ended(start(tmp_path, body)) == (code, f"some_rule: {expected}\n")
    assert log_of(tmp_path).splitlines()[-1].endswith(expected)
    assert "Traceback" not in log_of(tmp_path)


def tells_peaks():
    """Whether this system tells a process's peak memory."""
    return STATUS.exists() and "VmHWM" in STATUS.read_text()


def test_a_log_tells_what_a_job_took_to_start_and_in_all(tmp_path):
    busy = (
        "\n    import time; begun = time.process_time()\n    held = b'x' * 300_000_000"
        "\n    while time.process_time() < begun + 0.5: pass"
    )
    assert ended(start(tmp_path, busy))[0] == 0
    first, *_, last = log_of(tmp_path).splitlines()
    started = float(re.search(r"started in (.*) s of processor time$", first)[1])
    assert " done after " in last
    done, peak = read_usage(tmp_path / "logs" / "x.log")
    assert 0 <= started <= done - 0.4 < 60
    assert 290 < peak < 600 if tells_peaks() else math.isnan(peak)


def test_garbage_is_collected_again_when_the_work_begins(tmp_path):
    body = "import gc; print(gc.isenabled())"
    script = SCRIPT.replace("import sys, time", "import gc, sys, time; gc.disable()", 1).format(body=body)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True
    )
    assert done.stdout == "True\n"


def test_warnings_of_the_library_reach_the_terminal_and_those_of_others_the_log(tmp_path):
    body = (
        "\n    import logging, warnings"
        "\n    logging.getLogger('neuroreg.scans').warning('%s: odd\\nlines', 'data/x')"
        "\n    logging.getLogger('neuroreg.scans').info('a step')"
        "\n    logging.getLogger('other').warning('of theirs'); warnings.warn('deprecated')"
    )
    told = f"some_rule: warning: data/x: odd\\nlines ({tmp_path / 'logs' / 'x.log'})\n"
    assert ended(start(tmp_path, body)) == (0, told)
    assert all(part in log_of(tmp_path) for part in ("data/x: odd", "a step", "of theirs", "deprecated"))


def test_a_figure_on_a_disk_that_is_really_full_is_one_sentence(tmp_path):
    """Matplotlib's writer of PDF files fails once more when it closes one."""
    body = (
        "\n    from neuroreg.figures.style import new_figure, save_figure"
        "\n    save_figure(folder / 'disk' / 'x.pdf', new_figure(1, 2))"
    )
    with small_disk(tmp_path / "disk", 100) as disk:
        fill(disk / "filler", 0)
        code, stderr = ended(start(tmp_path, body))
        assert code == REFUSED
        assert stderr.startswith(f"some_rule: {disk}/x.pdf: no space left on its disk for its 0.0 MB; free")
        assert stderr.count("\n") == 1 and "Traceback" not in log_of(tmp_path)
        assert [file.name for file in disk.iterdir()] == ["filler"]


def test_a_bug_shows_its_traceback_in_both_places(tmp_path):
    code, stderr = ended(start(tmp_path, "{}['x']"))
    assert code == 1
    assert "KeyError: 'x'" in stderr and "KeyError: 'x'" in log_of(tmp_path)


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "logs").touch()
    code, stderr = ended(start(tmp_path, "pass"))
    assert code == REFUSED
    assert stderr.startswith(f"some_rule: {tmp_path}/logs") and stderr.count("\n") == 1


def test_a_log_on_a_full_disk_does_not_drown_the_sentence(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.log").symlink_to("/dev/full")
    body = "raise InputError('data/x: bad; expected good.')"
    assert ended(start(tmp_path, body)) == (BAD_INPUT, "some_rule: data/x: bad; expected good.\n")


def test_any_text_can_be_logged_and_shown_in_any_locale(tmp_path):
    body = "import logging; logging.info('神经 \\udcff'); raise InputError('神经: bad')"
    plain = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(body=body), encoding="utf-8")
    done = subprocess.run([sys.executable, script, tmp_path], env=os.environ | plain, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (BAD_INPUT, "some_rule: 神经: bad\n")
    assert "神经 \\udcff" in log_of(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_half_written(tmp_path, number):
    body = (
        "\n    with atomic_path(folder / 'x.txt') as partial:"
        "\n        partial.write_text('half'); time.sleep(60)"
    )
    process = start(tmp_path, body)
    limit = time.monotonic() + 60
    while not (tmp_path / ".x.partial.txt").exists():
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    code, stderr = ended(process)
    assert (code, stderr) == (128 + number, f"some_rule: ended by {number.name}; the same command goes on.\n")
    assert [file.name for file in tmp_path.iterdir()] == ["logs"]


REPEATED = """import resource; import numpy as np
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        arrays = [np.ones(4 << 20, dtype=np.float32) for _ in range(5)]
        del arrays
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library allocates otherwise")
def test_memory_that_a_job_frees_is_there_for_what_it_needs_next(tmp_path):
    process = start(tmp_path, REPEATED)
    faults, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr.decode()
    assert int(faults) < 100  # of 20,480 pages
