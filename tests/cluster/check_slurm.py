"""The profile for SLURM on a real Slurm; `make slurm` runs it (not collected with the other tests).

Four runs of Snakemake at once, each in a folder of its own: two come to their end though a job is killed for
memory in one and for time in the other; one has a bad input; one has a job that no partition takes.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cluster
import numpy as np
import pytest
import torch
import yaml

from neuroreg.files.records import read_record
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import AttackResult
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import BAD_INPUT

ROOT = Path(__file__).resolve().parents[2]
ATTACK = {"name": "ddn", "method": "ddn", "settings": [{"steps": 10}]}
SMALL = {
    "models": [
        {"name": "none", "label": "None", "target": None, "alpha": 0.0},
        {"name": "one_scan_a8", "target": "neural_one_scan", "alpha": 8.0},
    ],
    "sweep": {"models": ["none", "one_scan_a8"], "seeds": [1]},
    "conditions": {"models": ["none", "one_scan_a8"], "seeds": [1]},
    "adversarial": {"parts": 3, "attacks": [ATTACK], "tightening": []},
}
TARGETS = ("results/fig1.pdf", "results/attacks/none/seed1/ddn.h5", "results/table1.csv")


@pytest.fixture(scope="module")
def slurm():
    why = cluster.missing()
    if why:
        pytest.skip(f"no Slurm here: {why}")
    pytest.importorskip("snakemake_executor_plugin_slurm")
    with cluster.running():
        yield


class Run:
    """A Snakemake that sends its jobs to Slurm."""

    def __init__(self, folder, config, *arguments):
        folder.mkdir()
        self.folder, overlay = folder, folder / "overlay.yaml"
        overlay.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", ROOT / "Snakefile"]
        command += ["--directory", folder, "--workflow-profile", ROOT / "profiles" / "slurm"]
        # There is no accounting; a check each few seconds, since here jobs are short.
        command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]
        command += ["--seconds-between-status-checks", "3", "--latency-wait", "5"]
        command += ["--configfile", ROOT / "configs" / "smoke.yaml", overlay]
        self.output = folder / "terminal"
        with self.output.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=folder)

    @property
    def terminal(self):
        return self.output.read_text()

    def wait_for(self, ready, seconds):
        limit = time.monotonic() + seconds
        while not ready(self.terminal):
            assert time.monotonic() < limit, self.terminal[-5000:]
            time.sleep(0.5)

    def end(self, seconds):
        self.wait_for(lambda _: self.process.poll() is not None, seconds)
        return self.process.returncode

    def stop(self):
        """As Ctrl-C does: jobs are cancelled."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def jobs(self, rule):
        """What Slurm knows of the jobs of a rule, in the order in which they were submitted."""
        found = []
        for line in cluster.ask("scontrol", "--oneliner", "show", "job").splitlines():
            fields = dict(re.findall(r"(\S+?)=(\S*)", line))
            if fields["WorkDir"] == str(self.folder) and fields["Comment"].startswith(f"rule_{rule}"):
                found.append(fields)
        return found


@pytest.fixture(scope="module")
def runs(slurm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs").resolve()
    started = [
        # A fit needs about 1,000 MB. Its first try gets less.
        Run(
            folder / "memory",
            SMALL,
            *TARGETS,
            "--set-resources",
            "fit_response_model:mem_mb=650*attempt",
            "train_model:gpu=1",
        ),
        # A training takes more than a minute. Its first try gets one.
        Run(
            folder / "time",
            SMALL | {"training": {"epochs": 140}},
            "results/models/none/seed1/model.safetensors",
            "--set-resources",
            "train_model:runtime=attempt*9-8",
            "train_model:gpu=1",
        ),
        Run(folder / "bad", _with_a_text_for_a_scan(folder), "results/scans/mine.h5"),
        Run(
            folder / "never",
            SMALL,
            "results/classification.h5",
            "--set-resources",
            "prepare_classification:runtime=121",
        ),
    ]
    yield dict(zip(("memory", "time", "bad", "never"), started, strict=True))
    for run in started:
        run.stop()


def _with_a_text_for_a_scan(folder):
    (folder / "mine.h5").write_text("neuron,response\n")
    targets = ("neural", "neural_one_scan", "shuffle", "raw")
    return {
        "scans": [{"name": "mine", "source": "recorded", "path": str(folder / "mine.h5")}],
        "targets": [{"name": name, "kind": "denoised", "scans": ["mine"]} for name in targets],
    }


def test_a_job_that_can_never_start_is_told(runs):
    run = runs["never"]
    run.wait_for(lambda terminal: "can't start" in terminal or run.process.poll() is not None, 120)
    assert "PartitionTimeLimit" in run.terminal and "cluster.max_minutes" in run.terminal
    assert run.process.poll() is None
    run.stop()
    assert run.jobs("prepare_classification")[0]["JobState"] == "CANCELLED"


def test_bad_input_is_tried_once_and_its_sentence_reaches_the_terminal(runs):
    run = runs["bad"]
    assert run.end(180) != 0
    assert "mine.h5: is a text file; expected a scan" in run.terminal
    assert "Trying to restart" not in run.terminal
    assert len(run.jobs("ingest_scan")) == 1
    assert f"non-zero exit status {BAD_INPUT}" in "".join(
        path.read_text() for path in run.folder.glob(".snakemake/slurm_logs/**/*.log")
    )


def test_a_job_killed_for_memory_is_told_and_gets_more(runs):
    run = runs["memory"]
    assert run.end(420) == 0, run.terminal[-6000:]
    first, second = run.jobs("fit_response_model")
    assert first["JobState"] in ("FAILED", "OUT_OF_MEMORY") and second["JobState"] == "COMPLETED"
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("650M", "1300M")
    assert f"Slurm job {first['JobId']} (fit_response_model simulated1) was killed for memory" in run.terminal


def test_a_job_killed_for_time_is_told_and_goes_on(runs):
    run = runs["time"]
    assert run.end(420) == 0, run.terminal[-6000:]
    first, second = run.jobs("train_model")
    assert (first["JobState"], first["TimeLimit"]) == ("TIMEOUT", "00:01:00")
    assert (second["JobState"], second["TimeLimit"]) == ("COMPLETED", "00:10:00")
    told = f"Slurm job {first['JobId']} (train_model none_1) was killed when its time was over, 1:00"
    assert told in run.terminal
    assert "going on after epoch" in (run.folder / "results/logs/train_model/none/seed1.log").read_text()


def test_gpus_are_given_out_by_slurm(runs):
    jobs = [job for name in ("memory", "time") for job in runs[name].jobs("")]
    for job in jobs:
        asked = "".join(value for name, value in job.items() if name.startswith("Tres"))
        assert ("gpu:1" in asked) == job["Comment"].startswith("rule_train_model")
        assert "gpu" not in asked or job["NodeList"] == "n2"


def test_short_jobs_are_submitted_together(runs):
    (figures,) = runs["memory"].jobs("noise_")
    assert figures["Comment"] == "rule_noise_plot_fig1_tabulate_table1" and figures["JobState"] == "COMPLETED"


def test_a_search_in_parts_finds_what_the_whole_one_finds(runs):
    run = runs["memory"]
    assert len(run.jobs("search_adversarials")) == 3
    joined = read_record(run.folder / TARGETS[1], AttackResult)
    data = read_record(run.folder / "results/classification.h5", ClassificationData)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    sample = choose_samples(data.test_labels, 10, config["seed"])
    torch.set_num_threads(1)
    whole = search(
        load_model(run.folder / "results/models/none/seed1/model.safetensors"),
        data.test_images,
        data.test_labels,
        sample,
        method=ATTACK["method"],
        settings=ATTACK["settings"],
        repetitions=1,
        seed=config["seed"],
        batch_size=10,
        device=torch.device("cpu"),
        pad=True,
    )
    for name, value in vars(whole).items():
        if isinstance(value, np.ndarray):
            assert np.asarray(getattr(joined, name)).tobytes() == value.tobytes(), name


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(pytest.main([__file__, "-v", "-p", "no:cacheprovider"]))
