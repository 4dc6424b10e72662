import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from neuroreg.errors import InputError
from neuroreg.robustness.noise import noise_accuracy

CPU = torch.device("cpu")


class Mean(nn.Module):
    """Class 1 where the image's mean exceeds a half."""

    def forward(self, x):
        mean = x.flatten(1).mean(dim=1)
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


def gray(level, count):
    return np.full((count, 32, 32), level, dtype=np.uint8)


def accuracy(images, labels, sigmas, **changes):
    options = {"draws": 1, "clip": False, "seed": 3, "batch_size": 64, "device": CPU} | changes
    return noise_accuracy(Mean(), images, labels, sigmas, **options)


def test_accuracy_is_that_of_the_closed_form():
    sigmas = [0.0, 0.1, 0.3, 0.6]
    table = accuracy(gray(129, 2000), np.ones(2000, dtype=int), sigmas, draws=2)
    assert list(table.columns) == ["sigma", "accuracy", "n"]
    assert (table["n"] == 4000).all()
    margin = 129 / 255 - 0.5
    for sigma, found in zip(sigmas, table["accuracy"], strict=True):
        expected = norm.cdf(margin / (sigma / 32)) if sigma else 1.0
        assert found == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))


def test_clipping_removes_the_noise_outside_the_pixel_range():
    # Clipped, the mean of a white image falls by about sigma * pdf(0); unclipped it stays. The threshold is
    # half-way.
    class Bright(nn.Module):
        def forward(self, x):
            mean = x.flatten(1).mean(dim=1)
            return torch.stack([1 - 0.4 * norm.pdf(0) / 2 - mean, mean - 1 + 0.4 * norm.pdf(0) / 2], dim=1)

    for clip, expected in ((True, 0.0), (False, 1.0)):
        table = noise_accuracy(
            Bright(),
            gray(255, 20),
            np.ones(20, dtype=int),
            [0.0, 0.4],
            draws=1,
            clip=clip,
            seed=0,
            batch_size=20,
            device=CPU,
        )
        assert list(table["accuracy"]) == [1.0, expected]


def test_noise_depends_on_the_seed_and_the_draw_and_not_on_the_batches():
    images, labels = gray(128, 300), np.ones(300, dtype=int)
    one = accuracy(images, labels, [0.2, 0.4], draws=3)
    assert one.equals(accuracy(images, labels, [0.2, 0.4], draws=3, batch_size=7))
    assert not one.equals(accuracy(images, labels, [0.2, 0.4], draws=3, seed=4))
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

    table = noise_accuracy(
        Boundary(),
        gray(128, 200),
        np.ones(200, dtype=int),
        [0.1, 0.2, 0.4],
        draws=1,
        clip=False,
        seed=0,
        batch_size=50,
        device=CPU,
    )
    assert table["accuracy"].max() - table["accuracy"].min() < 0.006
    assert 0.35 < table["accuracy"][0] < 0.65


def test_a_training_mode_model_is_evaluated_and_given_back_as_it_was():
    model = nn.Sequential(nn.Dropout(0.9), Mean()).train()
    table = noise_accuracy(
        model,
        gray(140, 50),
        np.ones(50, int),
        [0.0],
        draws=1,
        clip=False,
        seed=0,
        batch_size=50,
        device=CPU,
    )
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
        noise_accuracy(
            Broken(),
            gray(1, 2),
            np.zeros(2, int),
            [0.0],
            draws=1,
            clip=False,
            seed=0,
            batch_size=2,
            device=CPU,
        )
