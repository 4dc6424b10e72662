import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from torch import nn

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.files.storage import write_h5
from neuroreg.robustness.noise import CLIPS, count_correct
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.seeds import derive_seed

CPU = torch.device("cpu")


class Mean(nn.Module):
    """Class 1 where the image's mean exceeds a half."""

    def forward(self, x):
        mean = x.flatten(1).mean(dim=1)
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


def gray(level, count):
    return np.full((count, 32, 32), level, dtype=np.uint8)


class Record(nn.Module):
    """Class 0 always; keeps every image that it is shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, x):
        self.shown.extend(x.numpy().copy())
        return torch.eye(2)[torch.zeros(len(x), dtype=int)]


def counted(model, images, labels, sigmas, **changes):
    options = {"draws": 1, "clip": "none", "seed": 3, "batch_size": 64, "device": CPU} | changes
    return count_correct(model, images, labels, sigmas, **options)


def accuracy(images, labels, sigmas, model=None, **changes):
    return counted(model or Mean(), images, labels, sigmas, **changes).accuracy()


def test_accuracy_is_that_of_the_closed_form():
    sigmas = [0.0, 0.1, 0.3, 0.6]
    table = accuracy(gray(129, 2000), np.ones(2000, dtype=int), sigmas, draws=2)
    assert list(table) == ["sigma", "accuracy", "n"]
    assert (table["n"] == 4000).all()
    margin = 129 / 255 - 0.5
    for sigma, found in zip(sigmas, table["accuracy"], strict=True):
        expected = norm.cdf(margin / (sigma / 32)) if sigma else 1.0
        assert found == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))


def normals(shape, seed=3, draw=0):
    return np.random.default_rng(derive_seed(seed, "noise", draw)).standard_normal(shape, dtype=np.float32)


def test_noisy_images_are_clipped_as_asked():
    # Two images of 30 pixels: gray levels 0, 0.2, 1 and 0.4, 0.4, 0.6.
    images = np.tile(np.array([[[0, 51, 255]], [[102, 102, 153]]], dtype=np.uint8), 10)
    noisy = images[:, None] / np.float32(255) + np.float32(0.5) * normals((2, 1, 1, 30))
    assert noisy.min() < 0  # the draw reaches beyond every bound
    assert noisy[0].max() > 1
    assert noisy[1].min() < 0.4
    assert noisy[1].max() > 0.6
    low, high = np.float32([0, 0.4])[:, None, None, None], np.float32([1, 0.6])[:, None, None, None]
    expected = {"none": noisy, "unit": np.clip(noisy, 0, 1), "image": np.clip(noisy, low, high)}
    for clip, content in expected.items():
        model = Record()
        counted(model, images, np.zeros(2, int), [0.5], clip=clip)
        np.testing.assert_allclose(np.stack(model.shown), content, rtol=1e-6, atol=1e-7)


def test_an_image_of_one_gray_level_stays_as_it_is_within_its_own_range():
    model = Record()
    counted(model, gray(77, 3), np.zeros(3, int), [0.0, 1.0], clip="image")
    np.testing.assert_allclose(np.stack(model.shown), 77 / 255, rtol=1e-6)


def test_every_model_sees_the_same_noise():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    for clip in CLIPS:
        models = Record(), Record()
        for model, labels, batch_size in zip(
            models, (np.zeros(5, int), np.ones(5, int)), (5, 2), strict=True
        ):
            counted(model, images, labels, [0.3], draws=2, clip=clip, batch_size=batch_size)
        np.testing.assert_array_equal(models[0].shown, models[1].shown)


def test_another_clip_is_refused():
    with pytest.raises(InputError, match=r"^noise: clip 'range'; expected one of none, unit, image\.$"):
        accuracy(gray(1, 2), np.zeros(2, int), [0.1], clip="range")


def test_counts_are_those_of_each_image():
    # Without noise the mean alone decides: images 0 and 2 are bright.
    images = np.concatenate([gray(level, 1) for level in (200, 50, 130, 50)])
    counts = counted(Mean(), images, np.array([1, 1, 1, 0]), [0.0, 1e-6], draws=3, batch_size=3)
    np.testing.assert_array_equal(counts.correct, [[3, 0, 3, 3]] * 2)
    assert list(counts.accuracy()["accuracy"]) == [0.75, 0.75]
    assert list(counts.accuracy()["n"]) == [12, 12]


@pytest.mark.parametrize("draws", [2, 300])
def test_counts_are_read_back_as_written(tmp_path, draws):
    correct = np.array([[0, draws, 1], [draws, draws, 0]])
    write_record(tmp_path / "c.h5", NoiseCounts(np.array([0.0, 0.1]), correct, draws))
    found = read_record(tmp_path / "c.h5", NoiseCounts)
    np.testing.assert_array_equal(found.correct, correct)
    np.testing.assert_array_equal(found.sigma, [0, 0.1])
    assert found.draws == draws


def test_counts_that_do_not_fit_are_refused(tmp_path):
    sigma, correct, draws = np.zeros(2), np.zeros((3, 4), np.uint8), np.int64(1)
    write_h5(tmp_path / "a.h5", "noise counts", {"sigma": sigma, "correct": correct, "draws": draws})
    with pytest.raises(InputError, match=r"correct uint8 \(3, 4\); expected integer \(2, 4\)"):
        read_record(tmp_path / "a.h5", NoiseCounts)
    write_h5(tmp_path / "b.h5", "noise counts", {"sigma": sigma, "correct": correct})
    with pytest.raises(InputError, match="no dataset 'draws'"):
        read_record(tmp_path / "b.h5", NoiseCounts)


def test_noise_depends_on_the_seed_and_the_draw_and_not_on_the_batches():
    images, labels = gray(128, 300), np.ones(300, dtype=int)
    one, batches, seed = (
        pd.DataFrame(accuracy(images, labels, [0.2, 0.4], draws=3, **changes))
        for changes in ({}, {"batch_size": 7}, {"seed": 4})
    )
    assert one.equals(batches)
    assert not one.equals(seed)
    assert (
        accuracy(images, labels, [0.4])["accuracy"][0]
        != accuracy(images, labels, [0.4], draws=2)["accuracy"][0]
    )


def test_levels_share_their_draws():
    # At the boundary only the sign of the noise's mean counts, so every level gives the same answers.
    class Boundary(nn.Module):
        def forward(self, x):
            mean = (x - 128 / 255).flatten(1).double().mean(dim=1)
            return torch.stack([-mean, mean], dim=1)

    table = accuracy(gray(128, 200), np.ones(200, int), [0.1, 0.2, 0.4], Boundary(), seed=0, batch_size=50)
    assert table["accuracy"].max() - table["accuracy"].min() < 0.006
    assert 0.35 < table["accuracy"][0] < 0.65


def test_a_training_mode_model_is_evaluated_and_given_back_as_it_was():
    model = nn.Sequential(nn.Dropout(0.9), Mean()).train()
    table = accuracy(gray(140, 50), np.ones(50, int), [0.0], model)
    assert table["accuracy"][0] == 1.0
    assert model.training
    assert model[0].training


@pytest.mark.parametrize("sigma", [-0.1, np.nan, np.inf])
def test_impossible_levels_are_refused(sigma):
    with pytest.raises(InputError, match="sigma"):
        accuracy(gray(1, 2), np.zeros(2, int), [sigma])


def test_a_model_with_nan_logits_is_refused():
    class Broken(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 2), torch.nan)

    with pytest.raises(InputError, match="2 of 2 images"):
        accuracy(gray(1, 2), np.zeros(2, int), [0.0], Broken())
