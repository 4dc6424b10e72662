"""One point readout per neuron: a position in the core's map, feature weights and a bias."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from neuroreg.response_model.sampling import sample_and_weigh


def elu1(drive: Tensor) -> Tensor:
    """Return ELU + 1: exp(drive) below 0, drive + 1 above; always positive."""
    return F.elu(drive) + 1


class PointReadout(nn.Module):
    """Neuron a reads ``elu1(b_a + sum_c u_a,c map_c(x_a, y_a))``, bilinearly sampled.

    One readout per neuron, as in the main text of Li et al. 2019.

    Positions are (x, y) with -1 and 1 at the map's outer edges (``align_corners=False``); beyond an edge the
    map goes on with its border values. While training, each position is blurred by normal noise with a
    trainable standard deviation (Lurz et al. 2021), without which it only feels its four nearest map points.

    Parameters
    ----------
    neurons, features
        Number of neurons N, and of features C of the map.
    spread
        Initial standard deviation of the noise on positions.
    generator
        Draws the initial weights.
    """

    def __init__(self, neurons: int, features: int, spread: float, generator: Generator) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(neurons, 2))
        self.log_spread = nn.Parameter(torch.full((neurons, 1), spread).log())
        self.weight = nn.Parameter(torch.randn(neurons, features, generator=generator) / features)
        self.bias = nn.Parameter(torch.zeros(neurons))

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return each neuron's rate before the gain.

        Parameters
        ----------
        features
            The core's map, float (B, C, H, W).
        noise
            Standard normal draws (N, 2) that blur the positions; none outside training.

        Returns
        -------
        Tensor
            Float (B, N), positive.
        """
        position = self.position if noise is None else self.position + self.log_spread.exp() * noise
        return elu1(sample_and_weigh(features, position, self.weight) + self.bias)

    def sparsity(self) -> Tensor:
        """Return the L1 penalty: mean over neurons of the summed absolute feature weights."""
        return self.weight.abs().sum(1).mean()
