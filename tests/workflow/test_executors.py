"""The profile for clusters with another executor than the one for Slurm: planned, and run with no queue."""

import re
import subprocess
import sys

import pytest
import yaml

pytest.importorskip("snakemake_executor_plugin_cluster_generic")

# Runs what is submitted to it at once, in the background, and prints a number for it, as a scheduler does.
SUBMIT = """\
echo "$@" >> submitted
sh "$4" > "job$$" 2>&1 &
echo $!
"""
ASKED = "sh submit {resources.mem_mb} $(({resources.runtime}*60)) {threads}"
NONE = {"models": ["none"], "seeds": [1]}


def snakemake(root, folder, config, *arguments):
    (folder / "submit").write_text(SUBMIT)
    overlay = folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", root / "Snakefile"]
    command += ["--workflow-profile", root / "profiles" / "slurm", "--executor", "cluster-generic"]
    command += ["--cluster-generic-submit-cmd", ASKED, "--directory", folder]
    command += ["--latency-wait", "5", "--seconds-between-status-checks", "1"]
    command += ["--configfile", root / "configs" / "smoke.yaml", overlay]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=folder)


def test_the_whole_is_planned_with_figures_submitted_together(root, tmp_path):
    done = snakemake(root, tmp_path, {}, "-n")
    assert done.returncode == 0, done.stderr
    (total,) = set(re.findall(r"^total +(\d+)$", done.stdout, re.M))
    alone = re.findall(r"^rule (?!all)(\w+):", done.stdout, re.M)
    together = re.findall(r"^ +rule (\w+):", done.stdout, re.M)
    assert len(alone) + len(together) + 1 == int(total)
    assert len(re.findall(r"^\[.*\] Group job ", done.stdout, re.M)) == 3
    profile = yaml.safe_load((root / "profiles" / "slurm" / "config.yaml").read_text())
    assert set(together) == set(profile["groups"])


def test_jobs_are_submitted_with_what_they_ask_for(root, tmp_path):
    made = ("results/noise.pdf", "results/fig1.pdf", "results/table1.csv")
    done = snakemake(root, tmp_path, {"sweep": NONE, "conditions": NONE}, *made)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((tmp_path / path).stat().st_size for path in made)
    asked = {}
    for line in (tmp_path / "submitted").read_text().splitlines():
        *numbers, script = line.split()
        asked[script.rsplit("/snakejob.", 1)[1].split(".")[0]] = [int(number) for number in numbers]
    (figures,) = (name for name in asked if name.startswith("noise_"))
    assert figures == "noise_plot_fig1_plot_noise_tabulate_table1"
    assert asked.keys() - {figures} == {"prepare_classification", "train_model", "evaluate_noise"}
    assert asked["prepare_classification"] == [2500, 3600, 1]
    # Three at once, 600 MB each and 350 for each one's Snakemakes.
    assert asked[figures] == [2850, 1800, 3]
