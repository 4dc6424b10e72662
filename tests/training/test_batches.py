"""An epoch's draws, and crops and flips against every window of the padded image."""

import numpy as np
import pytest
import torch

from neuroreg.training.batches import augment, draw_epoch


def generator(seed):
    return torch.Generator().manual_seed(seed)


def images():
    return torch.arange(3 * 8 * 8, dtype=torch.float32).reshape(3, 1, 8, 8)


def augmented(batch, seed, padding, flip):
    draws = draw_epoch(len(batch), len(batch), generator(seed), padding=padding, flip=flip)
    ((_, offsets, mirrored, _),) = draws
    return augment(batch, offsets, mirrored, padding=padding)


def test_every_result_is_a_crop_of_the_reflected_image():
    result = augmented(images(), 1, padding=3, flip=True)
    for image, crop in zip(images()[:, 0].numpy(), result[:, 0].numpy(), strict=True):
        padded = np.pad(image, 3, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8)).reshape(-1, 8, 8)
        candidates = np.concatenate([windows, windows[:, :, ::-1]])
        assert (candidates == crop).all((1, 2)).any()


def test_offsets_and_flips_are_uniform():
    batch = images()[:1].expand(4000, -1, -1, -1)
    result = augmented(batch, 2, padding=1, flip=True)
    outcomes = np.unique(result.reshape(4000, -1).numpy(), axis=0, return_counts=True)[1]
    assert len(outcomes) == 3 * 3 * 2
    expected = 4000 / 18
    assert ((outcomes - expected) ** 2 / expected).sum() < 40.8  # chi-square with 17 degrees, p = 0.001


def test_nothing_to_do_returns_the_images():
    torch.testing.assert_close(augmented(images(), 1, padding=0, flip=False), images())


def test_same_seed_same_draws():
    first, second = (augmented(images(), 5, padding=4, flip=True) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(("padding", "flip"), [(4, True), (0, True), (2, False)])
def test_an_epoch_draws_at_once_what_its_steps_would_one_by_one(padding, flip):
    options = {"padding": padding, "flip": flip, "stimuli": 50, "pairs": 3}
    draws = draw_epoch(47, 10, generator(1), pair_generator=generator(2), **options)
    one, other = generator(1), generator(2)
    order = torch.randperm(47, generator=one)
    steps = list(draws)
    assert len(steps) == 4
    for step, (rows, offsets, mirrored, pairs) in enumerate(steps):
        assert torch.equal(rows, order[10 * step : 10 * step + 10])
        if padding:
            assert torch.equal(offsets, torch.randint(0, 2 * padding + 1, (2, 10, 1), generator=one))
        if flip:
            assert torch.equal(mirrored, torch.rand(10, 1, generator=one) < 0.5)
        assert torch.equal(pairs, torch.randperm(50, generator=other)[:6])
        assert len(pairs.unique()) == 6
    assert (offsets is None) == (padding == 0)
    assert (mirrored is None) == (not flip)
