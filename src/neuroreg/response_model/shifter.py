"""Where the animal looks: pupil position moves every readout."""

import torch
from torch import Generator, Tensor, nn


class Shifter(nn.Module):
    """A small network from pupil position to one shift of all readout positions (Li et al. 2019, main text).

    The shift is bounded by a last tanh; it is zero at the start of training.

    Parameters
    ----------
    hidden
        Number of hidden tanh units.
    largest
        Bound of the shift in each direction, in the positions' units (2 = the image's width or height).
    generator
        Draws the initial weights.
    """

    def __init__(self, hidden: int, largest: float, generator: Generator) -> None:
        super().__init__()
        self.largest = largest
        self.input_weight = nn.Parameter(torch.randn(2, hidden, generator=generator) * 0.5**0.5)
        self.input_bias = nn.Parameter(torch.zeros(hidden))
        self.output_weight = nn.Parameter(torch.zeros(hidden, 2))

    def forward(self, pupil_center: Tensor) -> Tensor:
        """Return shifts (x, y), float (B, 2), of standardised pupil positions (B, 2)."""
        hidden = torch.tanh(pupil_center @ self.input_weight + self.input_bias)
        # No output bias: a constant shift is the readout positions' business.
        return self.largest * torch.tanh(hidden @ self.output_weight)


def shift_map(features: Tensor, shift: Tensor) -> Tensor:
    """Return maps whose point at each position is what was at that position plus the trial's shift.

    Readouts at fixed positions then read as if all of them had moved, and neurons can be read together for
    all trials. Values between points are interpolated linearly; beyond an edge the border's values go on.

    Parameters
    ----------
    features
        float (B, C, H, W).
    shift
        float (B, 2), (x, y), 2 = the map's width or height.

    Returns
    -------
    Tensor
        float (B, C, H, W).
    """
    batch, channels, height, width = features.shape
    across = _interpolation(shift[:, 0] * width / 2, width)
    down = _interpolation(shift[:, 1] * height / 2, height)
    moved = torch.bmm(features.reshape(batch, channels * height, width), across.transpose(1, 2))
    moved = moved.view(batch, channels, height, width)
    return torch.matmul(down[:, None], moved)


def _interpolation(offset: Tensor, size: int) -> Tensor:
    """Return the matrices, (B, size, size), that read a line of points `offset` (B,) points further on."""
    point = torch.arange(size, dtype=offset.dtype, device=offset.device)
    place = (point + offset[:, None]).clamp(0, size - 1)
    return (1 - (place[:, :, None] - point).abs()).clamp_min(0)
