import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.images.classification import make_classification
from neuroreg.images.patches import TEST, TRAIN, photograph_patches
from neuroreg.images.photographs import held_out_rows, photograph_stimuli


@pytest.fixture(scope="module")
def data():
    return make_classification("photograph_patches", seed=5)


def test_every_photograph_is_a_class(data):
    assert len(data.classes) == 14
    assert np.bincount(data.train_labels).tolist() == [TRAIN] * 14
    assert np.bincount(data.test_labels).tolist() == [TEST] * 14
    assert {"astronaut", "china", "rocket"} <= set(data.classes)
    for images in (data.train_images, data.test_images):
        assert images.std(axis=(1, 2)).min() > 11.9


def test_the_seed_decides(data):
    again = photograph_patches(5)
    np.testing.assert_array_equal(again[0], data.train_images)
    np.testing.assert_array_equal(again[2], data.test_images)
    assert not np.array_equal(photograph_patches(6)[0], data.train_images)


def test_sizes_are_parts_of_it(data):
    some = make_classification("photograph_patches", train_size=280, test_size=140, seed=5)
    assert np.bincount(some.train_labels).tolist() == [20] * 14
    assert np.bincount(some.test_labels).tolist() == [10] * 14
    whole = {image.tobytes() for image in data.train_images}
    assert {image.tobytes() for image in some.train_images} <= whole


def test_bands_of_rows_are_held_out():
    rows = held_out_rows(500)
    assert np.flatnonzero(np.diff(rows.astype(int))).tolist() == [95, 191, 383, 479]
    assert not rows[0]


def two_toned(height, width, seed):
    """Noise that is bright in the rows held out and dark elsewhere: a patch shows where it is from."""
    rng = np.random.default_rng(seed)
    bright = np.arange(height) // 96 % 3 == 1
    coarse = rng.uniform(0, 100, (height // 12 + 1, width // 12 + 1)).repeat(12, 0).repeat(12, 1)
    return coarse[:height, :width] + 150 * bright[:, None]


def test_no_pixel_is_trained_on_or_shown_and_tested_on(monkeypatch):
    photographs = {"a": two_toned(300, 400, 0), "b": two_toned(512, 470, 1), "c": two_toned(431, 640, 2)}
    for module in ("patches", "photographs"):
        monkeypatch.setattr(f"neuroreg.images.{module}.shipped_photographs", lambda: dict(photographs))
    train, _, test, _, classes = photograph_patches(0)
    stimuli, _ = photograph_stimuli(150, 0)
    assert classes.tolist() == ["a", "b", "c"]
    assert train.max() <= 100
    assert stimuli.max() <= 100
    assert test.min() >= 150


def test_a_photograph_without_contrast_is_refused(monkeypatch):
    monkeypatch.setattr(
        "neuroreg.images.patches.shipped_photographs", lambda: {"gray": np.full((300, 300), 128.0)}
    )
    monkeypatch.setattr("neuroreg.images.patches._MAX_DRAWS", 50)
    with pytest.raises(InputError, match="0 train patches of 'gray' with enough contrast; expected 110"):
        photograph_patches(0)
