"""What is told at the start, and what is tried again, from the command line."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from command_line import snakemake
from rule_texts import rules
from snakemake import benchmark

from neuroreg.errors import InputError
from neuroreg.workflow.job import BAD_INPUT
from neuroreg.workflow.start import check_python, end_on_sigterm

OVERLAY = {
    "scans": [{"name": "mine", "source": "recorded", "path": "mine.h5"}],
    "targets": [
        {"name": name, "kind": "denoised", "scans": ["mine"]}
        for name in ("neural", "neural_one_scan", "shuffle", "raw")
    ],
}


def with_my_scan(root, folder, *arguments):
    (folder / "mine.yaml").write_text(yaml.safe_dump(OVERLAY))
    configs = (root / "configs" / "smoke.yaml", folder / "mine.yaml")
    return snakemake(root, folder, *arguments, configs=configs)


def test_bad_input_is_tried_once_has_its_exit_code_and_shows_its_log(root, tmp_path):
    (tmp_path / "mine.h5").write_text("neuron,response\n")
    done = with_my_scan(root, tmp_path, "results/scans/mine.h5", "--retries", "2")
    assert done.returncode != 0
    sentences = [line for line in done.stderr.splitlines() if line.startswith("ingest_scan: ")]
    assert len(sentences) == 1 and "mine.h5: is a text file; expected a scan" in sentences[0]
    assert f"returned non-zero exit status {BAD_INPUT}." in done.stderr
    assert "Trying to restart" not in done.stderr and "Traceback" not in done.stderr
    log = (tmp_path / "results/logs/ingest_scan/mine.log").read_text().splitlines()
    assert log[-1].endswith(sentences[0].removeprefix("ingest_scan: "))
    assert log[-1] in done.stderr  # where jobs run elsewhere, the only way to the terminal


def test_every_rule_that_reads_what_users_bring_is_tried_once(root):
    """Of the others, those that are killed go on where they were."""
    brought = re.compile(r"\b(content\(|entry_content\(|recorded_scan,|own_network,|download,)")
    bodies = dict(rules(root))
    readers = {name for name, body in bodies.items() if brought.search(body)}
    assert readers >= {"download_scan", "ingest_scan", "prepare_stimuli", "take_similarity", "take_model"}
    assert {name for name, body in bodies.items() if "retries: 0" in body} == readers
    assert not any("retries" in body for name, body in bodies.items() if name not in readers)
    for profile in ("default", "slurm"):
        assert (
            yaml.safe_load((root / "profiles" / profile / "config.yaml").read_text())["show-failed-logs"]
            is True
        )


def test_snakemake_looks_at_a_jobs_memory_as_often_as_the_snakefile_has_it(root, monkeypatch):
    assert benchmark.BENCHMARK_INTERVAL_SHORT == 0.5  # its own
    assert "\nsnakemake.benchmark.BENCHMARK_INTERVAL_SHORT = 2\n" in (root / "Snakefile").read_text()
    looks = []

    class Looks(benchmark.ScheduledPeriodicTimer):
        def work(self):
            looks.append(time.monotonic())

    monkeypatch.setattr(benchmark, "BENCHMARK_INTERVAL_SHORT", 0.1)
    timer = Looks(30)
    timer.start()
    time.sleep(0.45)
    timer.cancel()
    assert 2 <= len(looks) <= 5
    assert all(after - before >= 0.1 for before, after in pairwise(looks))


@pytest.mark.parametrize(
    "path", ["/home/a b/.venv/bin/python", "/home/a'b/python", "/home/$x/python", "/a;b/python"]
)
def test_a_python_that_no_shell_finds_is_told(path):
    with pytest.raises(InputError, match="in the path of Python, with which Snakemake starts no job"):
        check_python(path)
    check_python("/home/神经/.venv-3.11/bin/python3")
    check_python(sys.executable)


def test_an_environment_in_a_folder_with_a_blank_is_told_at_the_start(root, tmp_path):
    linked = tmp_path / "my project" / "python"
    linked.parent.mkdir()
    linked.symlink_to(Path(sys.executable))
    (tmp_path / "mine.h5").touch()
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    python = str(linked)
    code = f"import os, sys; os.environ.update({environment!r})\n"
    code += f"os.execv({python!r}, [{python!r}, *sys.argv[1:]])"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(OVERLAY))
    command = [sys.executable, "-c", code, "-m", "snakemake", "-n", "--snakefile", root / "Snakefile"]
    command += ["--directory", tmp_path, "--cores", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"Error: {linked}: a blank in the path of Python" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_project_in_a_folder_with_braces_is_told_at_the_start(root, tmp_path):
    place = tmp_path / "my {scan}"
    place.symlink_to(root)
    (tmp_path / "mine.h5").touch()
    done = with_my_scan(place, tmp_path, "-n")
    assert done.returncode != 0
    assert (
        done.stderr.strip().splitlines()[-1].startswith(f"Error: {place}: braces in the path of the project")
    )
    assert "Traceback" not in done.stderr


def test_an_environment_without_a_package_is_told(root, tmp_path):
    (tmp_path / "lazy_loader.py").write_text("raise ModuleNotFoundError('gone', name='lazy_loader')\n")
    done = snakemake(root, tmp_path, "-n", PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    assert "no Python package 'lazy_loader'; expected the environment that make sets up" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_attack_of_ones_own_that_is_none_is_told(root, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    for name in ("src", "rules", "workflow_scripts", "report", "profiles", "config.yaml", "Snakefile"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, project / name)
    family = project / "src/neuroreg/robustness/attacks/mine.py"
    family.write_text('METHODS = {"mine": {"norm": "L2"}}\n')
    done = snakemake(project, tmp_path, "-n")
    assert done.returncode != 0
    assert "Error: attacks: METHODS of mine.py has 'mine': norm 'L2', not one of l0" in done.stderr
    assert "Traceback" not in done.stderr


def test_stronger_attacks_are_asked_for_before_anything_runs(root, tmp_path):
    done = snakemake(root, tmp_path, "-n", "results/tightening.pdf")
    assert done.returncode != 0
    told = "config key 'adversarial.tightening': no attacks; expected entries"
    assert told in done.stdout + done.stderr  # of a dry run Snakemake tells it on stdout


# Snakemake's own scheduler, as far as its handler of the signal goes, while it holds its lock.
TERMINATED = """
import os, signal, threading
from snakemake.scheduling.job_scheduler import JobScheduler
from neuroreg.workflow.start import end_on_sigterm

scheduler = JobScheduler.__new__(JobScheduler)
scheduler._lock, scheduler._open_jobs, scheduler._user_kill = threading.Lock(), threading.Semaphore(0), None
signal.signal(signal.SIGTERM, scheduler.exit_gracefully)
end_on_sigterm(scheduler)
with scheduler._lock:
    os.kill(os.getpid(), signal.SIGTERM)
    print("goes on", flush=True)
assert scheduler._open_jobs.acquire(timeout=30)
print(scheduler._user_kill)
"""


def test_a_sigterm_ends_a_run_whose_scheduler_holds_its_lock():
    command = [sys.executable, "-c", TERMINATED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "goes on\ngraceful\n", done.stderr


def test_another_handler_is_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    end_on_sigterm(None)
    end_on_sigterm(SimpleNamespace(exit_gracefully=lambda *_: None))
    assert signal.getsignal(signal.SIGTERM) is before
