"""Accuracy under additive Gaussian noise (Fig. 1 of the supplement)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from neuroreg.errors import InputError
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.seeds import derive_seed


def noise_accuracy(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    sigmas: Sequence[float],
    *,
    draws: int,
    clip: bool,
    seed: int,
    batch_size: int,
    device: torch.device,
) -> pd.DataFrame:
    """Return the accuracy at each noise level, every model and every level seeing the same standard normals.

    Parameters
    ----------
    model
        A classifier of inputs (B, 1, H, W) in [0, 1].
    images
        uint8 (N, H, W).
    labels
        int (N,).
    sigmas
        Standard deviations of the noise, in units of the pixel range [0, 1]; each finite and >= 0.
    draws
        Noise draws per image, >= 1.
    clip
        Whether noisy images are clipped to [0, 1].
    seed
        Decides the draws, together with the draw's index and the image's position.
    batch_size
        Images in one forward pass; does not change the noise.
    device
        Where to compute.

    Returns
    -------
    DataFrame
        Columns sigma, accuracy in [0, 1], n (images x draws); one row per sigma, in the order given.

    Raises
    ------
    InputError
        If a sigma is negative or not finite, or the model's logits are not finite.
    """
    for sigma in sigmas:
        if not (np.isfinite(sigma) and sigma >= 0):
            raise InputError(f"noise: sigma {sigma}; expected a finite number of at least 0.")
    inputs, labels = to_input(images), np.asarray(labels)
    correct = np.zeros(len(sigmas), dtype=np.int64)
    for draw in range(draws):
        generator = np.random.default_rng(derive_seed(seed, "noise", draw))
        for start in range(0, len(inputs), batch_size):
            clean = inputs[start : start + batch_size]
            normal = torch.from_numpy(generator.standard_normal(clean.shape, dtype=np.float32))
            for index, sigma in enumerate(sigmas):
                noisy = clean + float(sigma) * normal
                noisy = noisy.clamp(0.0, 1.0) if clip else noisy
                predicted = predict(model, noisy, batch_size=batch_size, device=device).argmax(dim=1).numpy()
                correct[index] += np.count_nonzero(predicted == labels[start : start + batch_size])
    n = len(inputs) * draws
    return pd.DataFrame({"sigma": np.asarray(sigmas, dtype=float), "accuracy": correct / n, "n": n})
