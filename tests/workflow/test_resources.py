"""What jobs ask of the machine, as a dry run shows it."""

import re
import subprocess
import sys

import h5py
import pytest
import yaml

PLENTY = ("--resources", "mem_mb=64000", "gpu=2")


def resources(root, folder, config, *options):
    """The resources of a job of each rule, by rule and name."""
    overlay = folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(root / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2", *PLENTY, *options]
    command += ["--configfile", str(root / "configs" / "smoke.yaml"), str(overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for rule, asked in re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", done.stdout, re.M):
        found[rule] = dict(part.split("=", 1) for part in asked.split(", "))
    return found


def megabytes(found):
    return {rule: asked["mem_mb"] for rule, asked in found.items() if rule != "all"}


def test_jobs_on_a_gpu_ask_for_it_and_for_cudas_memory(root, tmp_path):
    vgg = {
        "targets": [
            {"name": "neural", "kind": "denoised", "scans": ["simulated1", "simulated2"]},
            {"name": "neural_one_scan", "kind": "denoised", "scans": ["simulated1"]},
            {"name": "shuffle", "kind": "shuffled", "of": "neural"},
            {"name": "raw", "kind": "features"},
        ]
    }
    cpu, gpu = (resources(root, tmp_path, vgg | {"device": device}) for device in ("cpu", "cuda"))
    assert cpu.keys() == gpu.keys()
    using = {
        *("fit_response_model", "predict_responses", "measure_feature_similarity", "train_model"),
        *("evaluate_noise", "search_adversarials", "check_masking"),
    }
    before, after = megabytes(cpu), megabytes(gpu)
    for rule in before:
        assert int(gpu[rule].get("gpu", 0)) == (rule in using)
        assert int(cpu[rule].get("gpu", 0)) == 0
        assert int(after[rule]) - int(before[rule]) == (1500 if rule in using else 0)
    compiled = megabytes(resources(root, tmp_path, vgg | {"device": "cuda", "training": {"compile": True}}))
    more = {rule: int(compiled[rule]) - int(after[rule]) for rule in after}
    assert more == {rule: 1500 if rule == "train_model" else 0 for rule in after}


@pytest.mark.parametrize("images", [None, 7000])
def test_the_pools_size_is_looked_up_where_the_config_leaves_it_open(root, tmp_path, images):
    scan = tmp_path / "scan.h5"
    scan.touch()
    if images:
        (tmp_path / "results").mkdir()
        with h5py.File(tmp_path / "results" / "stimuli.h5", "w") as file:
            file["key"] = [f"c/{i}" for i in range(images)]
    names = ["simulated1", "simulated2"]
    config = {
        "stimuli": {"source": "union", "pool_size": None},
        "scans": [{"name": name, "source": "recorded", "path": str(scan)} for name in names],
    }
    asked = megabytes(resources(root, tmp_path, config))
    expected = "<TBD>" if images is None else str(500 + 2.4e-5 * images**2).partition(".")[0]
    assert asked["measure_raw_similarity"] == expected
    # What follows from it is not there yet.
    assert asked["average_similarity"] == asked["plot_similarity"] == "<TBD>"


def test_on_a_cluster_there_is_room_for_snakemake_and_limits_hold(root, tmp_path):
    """As the profile is planned with, though no Slurm is there."""
    base, there, capped = (
        resources(root, tmp_path, config, *options)
        for config, options in (
            ({}, ()),
            ({}, ("--jobs", "100")),
            ({"cluster": {"max_minutes": 7, "max_megabytes": 800}}, ("--jobs", "100")),
        )
    )
    for rule in there.keys() - {"all"}:
        assert int(there[rule]["mem_mb"]) == int(base[rule]["mem_mb"]) + 350
        assert int(capped[rule]["mem_mb"]) == min(800, int(there[rule]["mem_mb"]))
        if rule not in ("train_model", "evaluate_noise"):  # these look at the images once they are there
            assert int(there[rule]["runtime"]) > int(capped[rule]["runtime"]) == 7
