import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from neuroreg.files.records import read_record, write_record
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import NORMS, AttackResult
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.minimal_distance import search
from neuroreg.robustness.recheck import main, recheck
from neuroreg.training.checkpoints import load_model, save_model
from neuroreg.training.networks import ResNet

CPU = torch.device("cpu")
WRONG, STUBBORN = 5, 2


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A search on a random ResNet, in files; sample 5 is misclassified, sample 2 has no adversarial."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 4), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResNet(width=4)
    logits = predict(model, to_input(images), batch_size=30, device=CPU)
    with torch.no_grad():
        model.linear.weight /= logits.std(dim=0)[:, None]
        model.linear.bias.copy_((model.linear.bias - logits.mean(dim=0)) / logits.std(dim=0))
    save_model(folder / "model.safetensors", model, {})
    model = load_model(folder / "model.safetensors")
    labels = predict(model, to_input(images), batch_size=30, device=CPU).argmax(dim=1).numpy()
    labels[WRONG] = (labels[WRONG] + 1) % 10
    data = ClassificationData(images[:5], labels[:5], images, labels, np.arange(10).astype(str))
    write_record(folder / "classification.h5", data)
    result = search(
        model,
        images,
        labels,
        np.arange(6),
        method="ddn",
        settings=[{"steps": 10}, {"steps": 20}],
        repetitions=2,
        seed=0,
        batch_size=6,
        device=CPU,
    )
    for norm in NORMS:  # as if no attack had succeeded
        result.distance[norm][..., STUBBORN] = np.inf
        result.best_adversarial[norm][STUBBORN] = np.nan
        result.predicted[norm][STUBBORN] = result.found_by[norm][STUBBORN] = -1
    result.verified[..., STUBBORN] = False
    inputs = [folder / "model.safetensors", folder / "classification.h5"]
    write_record(folder / "ddn.h5", result, inputs=inputs)
    return SimpleNamespace(attack=folder / "ddn.h5", model=inputs[0], data=inputs[1])


@pytest.fixture
def tampered(files, tmp_path):
    """Returns a function that writes a copy of the attack's file after `change(file)`."""

    def write(change):
        path = tmp_path / "tampered.h5"
        path.write_bytes(files.attack.read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return write


def test_an_honest_file_holds(files):
    for data in (None, files.data):
        found = recheck(files.attack, files.model, data)
        assert found.complaints == ()
        assert found.verdict == "All 24 rows hold."
    table = found.table.set_index("norm")
    assert (table["adversarials"] == 4).all()
    assert (table["misclassified"] == 1).all()
    assert (table["not_found"] == 1).all()
    assert (table["deviation"] < 1e-6).all()


def scale(file, factor):
    """Adversarials nearer to the image: what a search that does not verify would report."""
    best = file["best_adversarial/l2"]
    clean = file["clean"][0] / np.float32(255)
    best[0] = clean + factor * (best[0] - clean)


def leave_the_box(file):
    best = file["best_adversarial/linf"]
    image = best[1]
    image[0, :2] = 1.5, 0.0
    best[1] = image


def set_value(name, index, value):
    def change(file):
        file[name][index] = value

    return change


def smaller_distance(file):
    values = file["distance/l1"][()]
    values[values == values[..., 3].min()] *= np.float32(0.9999)
    file["distance/l1"][...] = values


def another_finder(file):
    losing = np.argwhere(file["distance/l2"][:, :, 4] > file["distance/l2"][:, :, 4].min())[0]
    file["found_by/l2"][4] = losing


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda file: scale(file, 0.02), "l2, sample 0: the model names the label"),
        (lambda file: scale(file, 1.01), "l2, sample 0: distance"),
        (leave_the_box, "linf, sample 1: the adversarial's pixels go from 0 to 1.5"),
        (
            set_value("best_adversarial/l0", (1, 3, 3), np.nan),
            "l0, sample 1: the adversarial has pixels that",
        ),
        (smaller_distance, "l1, sample 3: distance"),
        (another_finder, "l2, sample 4: setting"),
        (set_value("found_by/l2", 4, [2, 0]), "l2, sample 4: found by setting 2, repetition 0, which the"),
        (set_value("predicted/l2", 4, 10), "recorded is 10"),
        (set_value("clean_correct", WRONG, True), "l0, sample 5: the clean image is recorded as right"),
        (set_value("clean_correct", 0, False), "l0, sample 0: the clean image is recorded as wrong"),
        (
            set_value("distance/l2", (0, 0, WRONG), 0.5),
            "l2, sample 5: the clean image is misclassified, but a",
        ),
        (set_value("best_adversarial/l1", (WRONG, 0), 0.5), "l1, sample 5: the clean image is misclassified"),
        (set_value("best_adversarial/l1", STUBBORN, 0.5), "l1, sample 2: no distance is recorded, but an"),
        (set_value("distance/l2", (0, 0, STUBBORN), np.nan), "l2, sample 2: a recorded distance is NaN"),
        (set_value("verified", (0, 0, 0), False), "l0, sample 0: the flag 'verified' and the finite"),
        (set_value("label", 0, 3), "sample 0: "),
        (set_value("clean", (0, 0, 0), 77), "l2, sample 0: distance"),
    ],
)
def test_a_tampered_row_is_named(files, tampered, capsys, change, complaint):
    path = tampered(change)
    assert main([str(path), str(files.model)]) == 1
    printed = capsys.readouterr().out
    assert complaint in printed
    assert "of 24 rows fail" in printed.splitlines()[-1]


def test_a_closer_one_under_another_norm_is_noticed(files, tampered):
    """The distances under L1 and the best adversarial are from a worse try than what L2 shows."""

    def change(file):
        values, best = file["distance/l1"], file["best_adversarial/l1"]
        clean = file["clean"][0] / np.float32(255)
        farther = np.clip(clean + 1.5 * (best[0] - clean), 0, 1)
        distance = np.abs(farther.astype(np.float64) - clean).sum()
        values[..., 0] = distance
        best[0] = farther

    complaints = recheck(tampered(change), files.model).complaints
    assert any(
        text.startswith("l2, sample 0: its l1 is") and "below the recorded minimum" in text
        for text in complaints
    )


def test_an_image_without_finite_logits_is_misclassified_and_the_others_are_checked(files, monkeypatch):
    """The search takes it for misclassified."""
    model, clean = load_model(files.model), read_record(files.attack, AttackResult).clean

    class Silent(nn.Module):
        def forward(self, x):
            silent = to_input(clean[WRONG : WRONG + 1])
            return torch.where((x == silent).all(), torch.nan, model(x))

    monkeypatch.setattr("neuroreg.robustness.recheck.load_model", lambda _: Silent())
    assert recheck(files.attack, files.model).complaints == ()


def test_images_that_are_not_the_data_sets_are_noticed(files, tampered):
    path = tampered(set_value("sample", 2, 7))
    assert recheck(path, files.model).complaints == ()
    assert recheck(path, files.model, files.data).complaints == (
        f"sample 7: image or label is not that of {files.data}.",
    )
    path = tampered(set_value("sample", 2, 70))
    assert len(recheck(path, files.model, files.data).complaints) == 1


def test_another_model_is_noticed(files, tmp_path, capsys):
    model = load_model(files.model)
    with torch.no_grad():
        model.linear.bias += torch.linspace(0, 1e-6, 10)
    save_model(tmp_path / "other.safetensors", model, {})
    assert main([str(files.attack), str(tmp_path / "other.safetensors")]) == 1
    assert "is not the model attacked" in capsys.readouterr().out


def test_from_the_command_line(files, tampered):
    command = [sys.executable, "-m", "neuroreg.robustness.recheck"]
    arguments = [str(files.attack), str(files.model), "--data", str(files.data)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "All 24 rows hold."
    done = subprocess.run([*command, "absent.h5", "model"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("recheck: absent.h5: no such file")
    assert len(done.stderr.splitlines()) == 1
