"""The same way on real CIFAR-10 photographs, where they are at hand."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroreg.images.classification import make_classification
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.robustness.noise import count_correct
from neuroreg.training.run import train
from neuroreg.training.settings import TrainingSettings

FOLDER = Path(os.environ.get("NEUROREG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
ARCHIVE = FOLDER / "cifar10_jpg.tar.xz"
PER_CLASS = {"train": 150, "test": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images per class: the first of each, unpacked from the archive."""
    if not ARCHIVE.is_file():
        pytest.skip(f"no {ARCHIVE.name} in {FOLDER}; name its folder in NEUROREG_TEST_DATA")
    place = tmp_path_factory.mktemp("cifar10")
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            path = Path(member.name)
            split = path.parent.parent.name
            if member.isfile() and int(path.stem) <= PER_CLASS.get(split, 0):
                archive.extract(member, place, filter="data")
    return next(place.rglob("train")).parent


@pytest.fixture(scope="module")
def data(folder):
    return make_classification("image_folder", path=folder, seed=1, train_size=1500, test_size=200)


def test_the_folder_is_read_as_gray_images_of_ten_classes(data):
    assert data.train_images.shape == (1500, 32, 32)
    assert list(data.classes) == sorted(data.classes)
    assert {"airplane", "truck"} <= set(data.classes)
    assert np.bincount(data.train_labels).tolist() == [150] * 10
    assert 100 < data.train_images.mean() < 140


def test_a_network_learns_and_is_attacked(data):
    torch.set_num_threads(1)  # the same network on every machine of a kind
    settings = TrainingSettings(
        width=4, validation_fraction=0.05, horizontal_flip=True, stimuli_in_batch_norm=True
    )
    trained = train(data.train_images, data.train_labels, 10, settings=settings, seed=1)
    device = torch.device("cpu")
    counts = count_correct(
        trained.model,
        data.test_images,
        data.test_labels,
        [0.0, 0.3],
        draws=1,
        clip="none",
        seed=1,
        batch_size=100,
        device=device,
    )
    assert counts.accuracy()["accuracy"][0] > 0.2  # chance is 0.1
    sample = choose_samples(data.test_labels, 40, 1)
    found = {}
    for method, setting in (("ddn", {"steps": 60, "gamma": 0.1}), ("pgd", {"steps": 10})):
        result = search(
            trained.model,
            data.test_images,
            data.test_labels,
            sample,
            method=method,
            settings=[setting],
            repetitions=1,
            seed=1,
            batch_size=40,
            device=device,
        )
        right = result.clean_correct
        assert right.sum() >= 3
        assert (result.distance["l2"][0, 0][~right] == 0).all()
        assert result.verified[0, 0][right].all()
        found[method] = {norm: values[0, 0][right] for norm, values in result.distance.items()}
    # Each attack is the stronger one in the norm that it minimises.
    assert found["ddn"]["l2"].mean() < found["pgd"]["l2"].mean()
    assert found["pgd"]["linf"].mean() < found["ddn"]["linf"].mean()
    assert (found["pgd"]["linf"] < 0.1).all()
