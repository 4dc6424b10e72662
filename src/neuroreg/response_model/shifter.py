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
