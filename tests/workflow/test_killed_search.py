"""The rule search_adversarials: killed as a scheduler kills and started again, settings changed."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from neuroreg.files.records import read_record, write_record
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

steps = int(sys.argv[2])
snakemake = SimpleNamespace(
    input=Named(model="model.safetensors", data="classification.h5"),
    output=Named(first="short.h5", second="ddn.h5"),
    log=["log"],
    threads=1,
    rule="search_adversarials",
    wildcards={},
    params=SimpleNamespace(
        attacks=[
            {"name": "short", "method": "ddn", "settings": [{"steps": 5}]},
            {"name": "ddn", "method": "ddn", "settings": [{"steps": steps}, {"steps": steps, "gamma": 0.1}]},
        ],
        settings=dict(
            samples=4, parts=1, repetitions=2, batch_size=2, logit_margin=4.0, device="cpu", seed=0
        ),
        code=["this", "that"],
    ),
    resources=SimpleNamespace(devices="0"),
)
runpy.run_path(sys.argv[1], init_globals={"snakemake": snakemake}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory):
    """A folder with a model, images and what the searches found."""
    folder = tmp_path_factory.mktemp("undisturbed")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 4, 4), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResNet(width=4)
    labels = predict(model, to_input(images), batch_size=20, device=torch.device("cpu")).argmax(1).numpy()
    data = ClassificationData(images[:2], labels[:2], images, labels, np.arange(10).astype(str))
    save_model(folder / "model.safetensors", model, {})
    write_record(folder / "classification.h5", data)
    finish(root, folder)
    return folder


def begun(undisturbed, folder):
    """Another folder with the same model and images."""
    for name in ("model.safetensors", "classification.h5"):
        shutil.copy(undisturbed / name, folder / name)
    return folder


def start(root, folder, steps=30):
    script = root / "workflow_scripts" / "search_adversarials.py"
    return subprocess.Popen([sys.executable, "-c", RUN, str(script), str(steps)], cwd=folder)


def finish(root, folder, steps=30):
    assert start(root, folder, steps).wait() == 0
    return (folder / "log").read_text()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_killed_search_ends_with_the_same_bytes(root, undisturbed, tmp_path, deleted):
    killed = begun(undisturbed, tmp_path)
    running = start(root, killed)
    while not (killed / "resume_ddn.safetensors").exists() and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert (killed / "short.h5").exists() and (killed / "resume_short.safetensors").exists()
    assert not (killed / "ddn.h5").exists()
    if deleted:  # as Snakemake does with the outputs of a job that has failed
        (killed / "short.h5").unlink()
    log = finish(root, killed)
    assert log.count("going on after") == 1 + deleted
    assert ("short.h5: kept" in log) != deleted
    assert "setting 1 of 1" not in log  # the first attack was done
    for name in ("short.h5", "ddn.h5"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not list(killed.glob("*resume*"))


def test_only_what_has_changed_is_searched_for_again(root, undisturbed, tmp_path):
    folder, fresh = tmp_path / "again", tmp_path / "fresh"
    shutil.copytree(undisturbed, folder)
    fresh.mkdir()
    begun(undisturbed, fresh)
    before = {name: (folder / name).read_bytes() for name in ("short.h5", "ddn.h5")}
    log = finish(root, folder)
    assert "short.h5: kept" in log and "ddn.h5: kept" in log and "batch" not in log
    log = finish(root, folder, steps=40)
    assert "short.h5: kept" in log and "ddn.h5: kept" not in log
    finish(root, fresh, steps=40)
    assert (folder / "short.h5").read_bytes() == before["short.h5"] == (fresh / "short.h5").read_bytes()
    assert before["ddn.h5"] != (folder / "ddn.h5").read_bytes() == (fresh / "ddn.h5").read_bytes()
    path = folder / "classification.h5"  # another input: all of it
    data = read_record(path, ClassificationData)
    write_record(path, data, config={"of": "another make"})
    assert "kept" not in finish(root, folder, steps=40)
