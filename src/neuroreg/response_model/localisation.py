"""A first guess of where each neuron looks; without it a point readout may never find its field."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FREQUENCIES = (0.05, 0.1, 0.15)  # cycles per pixel: mouse V1's at about 2 degrees a pixel
ORIENTATIONS = 6
SIZE = 25  # pixels
LARGEST_ENVELOPE = 6.0  # standard deviation in pixels, so that the kernel holds it
STRIDE = 2


def gabor_pair(frequency: float, angle: float) -> Tensor:
    """Return an even and an odd Gabor kernel of unit norm, blind to luminance, float32 (2, 1, SIZE, SIZE)."""
    y, x = torch.meshgrid(*[torch.arange(SIZE) - SIZE // 2] * 2, indexing="ij")
    envelope = torch.exp(-(x**2 + y**2) / 2 / min(0.4 / frequency, LARGEST_ENVELOPE) ** 2)
    phase = 2 * math.pi * frequency * (x * math.cos(angle) + y * math.sin(angle))
    even, odd = envelope * phase.cos(), envelope * phase.sin()
    even = even - envelope * even.sum() / envelope.sum()
    return torch.stack([even / even.norm(), odd / odd.norm()])[:, None]


def standardised(values: Tensor) -> Tensor:
    """Return columns of zero mean and unit norm, or of zeros where they are constant."""
    values = values - values.mean(0)
    return values / values.norm(dim=0).clamp_min(1e-9)


def locate_receptive_fields(images: np.ndarray, image: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Guess each neuron's position: where a bank of Gabor filters goes best with its responses.

    The filters' even and odd outputs and their energy, on every second pixel, are correlated with the square
    root of the responses, whose noise hardly depends on their mean. The squared correlations are smoothed
    over 3x3 positions, squared again, so that one good filter counts more than many poor ones, and summed.

    Parameters
    ----------
    images
        uint8 (I, H, W).
    image
        int (T,), index into `images` of each trial.
    responses
        float (T, N); negative ones count as 0.

    Returns
    -------
    numpy.ndarray
        float64 (N, 2), (x, y) in pixels, (0, 0) the centre of the first pixel.
    """
    target = standardised(torch.tensor(responses, dtype=torch.float32).clamp_min(0).sqrt()).T
    padded = F.pad(torch.tensor(images, dtype=torch.float32)[:, None], [SIZE // 2] * 4, mode="replicate")
    rows = torch.as_tensor(image)
    evidence = 0.0
    for frequency in FREQUENCIES:
        for orientation in range(ORIENTATIONS):
            pair = F.conv2d(
                padded, gabor_pair(frequency, math.pi * orientation / ORIENTATIONS), stride=STRIDE
            )
            for output in (pair[:, 0], pair[:, 1], torch.hypot(pair[:, 0], pair[:, 1])):
                squared = (target @ standardised(output.flatten(1)[rows])).square()
                maps = squared.reshape(len(target), 1, *output.shape[1:])
                evidence = evidence + F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False).square()
    best = evidence.flatten(1).argmax(1).numpy()
    width = evidence.shape[-1]
    return np.column_stack([best % width, best // width]) * float(STRIDE)
