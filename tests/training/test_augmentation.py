import numpy as np
import torch

from neuroreg.training.run import augment


def batch():
    return torch.arange(3 * 8 * 8, dtype=torch.float32).reshape(3, 1, 8, 8)


def test_every_result_is_a_crop_of_the_reflected_image():
    images = batch()
    result = augment(images, torch.Generator().manual_seed(1), padding=3, flip=True)
    for image, crop in zip(images[:, 0].numpy(), result[:, 0].numpy(), strict=True):
        padded = np.pad(image, 3, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8)).reshape(-1, 8, 8)
        candidates = np.concatenate([windows, windows[:, :, ::-1]])
        assert (candidates == crop).all((1, 2)).any()


def test_offsets_and_flips_are_uniform():
    images = batch()[:1].expand(4000, -1, -1, -1)
    result = augment(images, torch.Generator().manual_seed(2), padding=1, flip=True)
    outcomes = np.unique(result.reshape(4000, -1).numpy(), axis=0, return_counts=True)[1]
    assert len(outcomes) == 3 * 3 * 2
    expected = 4000 / 18
    assert ((outcomes - expected) ** 2 / expected).sum() < 40.8  # chi-square with 17 degrees, p = 0.001


def test_nothing_to_do_returns_the_images():
    images = batch()
    result = augment(images, torch.Generator().manual_seed(1), padding=0, flip=False)
    torch.testing.assert_close(result, images)


def test_same_generator_same_result():
    first, second = (augment(batch(), torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
