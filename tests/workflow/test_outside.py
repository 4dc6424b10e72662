"""What `python -m neuroreg` does."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from lab_files import write_hdf5
from safetensors.numpy import save_file

from neuroreg.errors import InputError
from neuroreg.files.storage import write_h5
from neuroreg.workflow.describe import describe_file


def neuroreg(*arguments):
    command = [sys.executable, "-m", "neuroreg", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_without_arguments_it_lists_what_can_be_done():
    result = neuroreg()
    assert result.returncode == 0
    assert "describe FILE" in result.stdout
    assert "recheck ATTACK_FILE MODEL_FILE" in result.stdout


def test_an_unknown_command_is_refused_with_those_there_are():
    result = neuroreg("descrbe")
    assert result.returncode == 2
    assert result.stderr == "neuroreg: no command 'descrbe'; expected describe or recheck.\n"


def test_a_similarity_is_described(tmp_path):
    path = tmp_path / "neural.h5"
    arrays = {"matrix": np.eye(3, dtype=np.float32), "key": np.array(["a/1", "a/2", "b/1"])}
    write_h5(path, "similarity", arrays, config={"exponent": 2})
    result = neuroreg("describe", path)
    assert result.stdout.splitlines()[0].startswith(f"{path}: similarity, written by neuroreg ")
    assert set(result.stdout.splitlines()[1:]) == {
        '  config: {"exponent": 2}',
        "  matrix: float32 (3, 3)",
        "  key: str (3,)",
    }


def test_a_model_is_described(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"gamma": np.zeros(5, np.float32)}, path, {"classes": '["cat",  "dog"]'})
    assert describe_file(path) == [f"{path}: weights", '  classes: ["cat", "dog"]', "  gamma: (5,)"]
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="expected a file of safetensors"):
        describe_file(path)


def test_a_scan_as_a_lab_brings_it_is_described(tmp_path):
    path, rng = tmp_path / "lab.h5", np.random.default_rng(0)
    shown = np.array([3, 7, 5, 7, 9, 7])
    pictures = rng.integers(0, 256, (10, 1, 36, 64)).astype(np.float32)
    parts = {
        "images": pictures[shown],
        "responses": rng.gamma(1.0, 1.0, (6, 4)),
        "behavior": rng.normal(size=(6, 3)),
        "pupil_center": rng.normal(size=(6, 2)),
        "tiers": np.array(["train", "test", "validation", "test", "train", "test"]),
        "image_id": shown,
        "image_class": np.array(["c"] * 6),
        "unit_ids": np.arange(4),
    }
    write_hdf5(path, parts)
    assert describe_file(path) == [
        f"{path}: a scan as static HDF5",
        "  4 neurons, 4 images",
        "  6 trials: 3 test, 2 train, 1 validation",
        "  images shown repeatedly: 1",
        "  columns of behavior: 3, of pupil position: 2",
    ]


def test_what_is_nothing_of_ours_is_refused_in_one_sentence(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    for name in ("other.h5", "none.h5"):
        result = neuroreg("describe", tmp_path / name)
        assert result.returncode == 1
        assert result.stderr.startswith(f"describe: {tmp_path / name}: ")
        assert len(result.stderr.splitlines()) == 1
