"""The script of the rule search_adversarials, killed as a scheduler kills, and started again."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from neuroreg.files.records import write_record
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.training.checkpoints import save_model
from neuroreg.training.networks import ResNet

RUN = """
import runpy, sys
from types import SimpleNamespace

class Named(list):
    def __init__(self, **values):
        super().__init__(values.values())
        self.__dict__.update(values)

setting = {"steps": 60}
snakemake = SimpleNamespace(
    input=Named(model="model.safetensors", data="classification.h5"),
    output=Named(attack="ddn.h5"),
    log=["log"],
    threads=1,
    rule="search_adversarials",
    wildcards={},
    params=SimpleNamespace(
        attack={"name": "ddn", "method": "ddn", "settings": [setting, {"steps": 60, "gamma": 0.1}]},
        samples=8, parts=1, repetitions=2, batch_size=2, device="cpu", seed=0, code="this",
    ),
)
runpy.run_path(sys.argv[1], init_globals={"snakemake": snakemake}, run_name="__main__")
"""


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 4, 4), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResNet(width=4)
    labels = predict(model, to_input(images), batch_size=20, device=torch.device("cpu")).argmax(1).numpy()
    data = ClassificationData(images[:2], labels[:2], images, labels, np.arange(10).astype(str))
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
        save_model(tmp_path / name / "model.safetensors", model, {})
        write_record(tmp_path / name / "classification.h5", data)
    return tmp_path / "undisturbed", tmp_path / "killed"


def test_a_killed_search_ends_with_the_same_bytes(root, folders):
    command = [sys.executable, "-c", RUN, str(root / "workflow_scripts" / "search_adversarials.py")]
    undisturbed, killed = folders
    subprocess.run(command, cwd=undisturbed, check=True)
    resume = killed / "resume_ddn.safetensors"
    running = subprocess.Popen(command, cwd=killed)
    while not resume.exists() and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert resume.exists()
    assert not (killed / "ddn.h5").exists()
    subprocess.run(command, cwd=killed, check=True)
    assert "going on after" in (killed / "log").read_text()
    assert (killed / "ddn.h5").read_bytes() == (undisturbed / "ddn.h5").read_bytes()
    assert not list(killed.glob("*resume*"))
