"""Accuracy under additive Gaussian noise (Fig. 1 of the supplement)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from neuroreg.errors import InputError
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.seeds import derive_seed

CLIPS = ("none", "unit", "image")


def count_correct(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    sigmas: Sequence[float],
    *,
    draws: int,
    clip: str,
    seed: int,
    batch_size: int,
    device: torch.device,
) -> NoiseCounts:
    """Return how often each noisy image is classified correctly; models and levels share standard normals.

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
        What noisy pixels are clipped to: ``none``, not at all; ``unit``, [0, 1]; ``image``, the range of the
        clean image's own pixels, as in the public descendant of the authors' code.
    seed
        Decides the draws, together with the draw's index and the image's position.
    batch_size
        Images in one forward pass; does not change the noise.
    device
        Where to compute.

    Returns
    -------
    NoiseCounts
        One row per sigma, in the order given, and one column per image.

    Raises
    ------
    InputError
        If a sigma is negative or not finite, `clip` is none of these, or the model's logits are not finite.
    """
    for sigma in sigmas:
        if not (np.isfinite(sigma) and sigma >= 0):
            raise InputError(f"noise: sigma {sigma}; expected a finite number of at least 0.")
    if clip not in CLIPS:
        raise InputError(f"noise: clip '{clip}'; expected one of {', '.join(CLIPS)}.")
    inputs, labels = to_input(images), np.asarray(labels)
    correct = np.zeros((len(sigmas), len(inputs)), dtype=np.int64)
    for draw in range(draws):
        generator = np.random.default_rng(derive_seed(seed, "noise", draw))
        for start in range(0, len(inputs), batch_size):
            part = slice(start, start + batch_size)
            clean = inputs[part]
            normal = torch.from_numpy(generator.standard_normal(clean.shape, dtype=np.float32))
            for index, sigma in enumerate(sigmas):
                noisy = _clipped(clean + float(sigma) * normal, clean, clip)
                predicted = predict(model, noisy, batch_size=batch_size, device=device).argmax(dim=1).numpy()
                correct[index, part] += predicted == labels[part]
    fitting = correct.astype(np.min_scalar_type(draws))  # the smallest type, for the file
    return NoiseCounts(np.asarray(sigmas, dtype=float), fitting, draws)


def _clipped(noisy: Tensor, clean: Tensor, clip: str) -> Tensor:
    """Return noisy images (B, 1, H, W) within the bounds that `clip` names."""
    if clip == "none":
        return noisy
    if clip == "unit":
        return noisy.clamp(0.0, 1.0)
    pixels = (1, 2, 3)
    return noisy.clamp(clean.amin(pixels, keepdim=True), clean.amax(pixels, keepdim=True))
