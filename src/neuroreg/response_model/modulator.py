"""What state the animal is in: behaviour scales every response."""

import torch
from torch import Generator, Tensor, nn


class Modulator(nn.Module):
    """A small network from behaviour to one multiplicative gain per neuron (Li et al. 2019, main text).

    ``gain = exp(tanh(behavior A + a) G)``: positive, below or above 1, 1 at the start of training, and
    bounded because tanh is, so that an outlying behaviour cannot blow a prediction up.

    Parameters
    ----------
    behaviors, hidden, neurons
        Number of behavioural variables, of hidden tanh units and of neurons.
    generator
        Draws the initial weights.
    """

    def __init__(self, behaviors: int, hidden: int, neurons: int, generator: Generator) -> None:
        super().__init__()
        scale = max(behaviors, 1) ** -0.5
        self.input_weight = nn.Parameter(torch.randn(behaviors, hidden, generator=generator) * scale)
        self.input_bias = nn.Parameter(torch.zeros(hidden))
        self.output_weight = nn.Parameter(torch.zeros(hidden, neurons))

    def forward(self, behavior: Tensor) -> Tensor:
        """Return gains, float (B, neurons), of standardised behaviour (B, behaviors)."""
        return (torch.tanh(behavior @ self.input_weight + self.input_bias) @ self.output_weight).exp()

    def energy(self) -> Tensor:
        """Return the L2 penalty: mean over neurons of the summed squared output weights."""
        return self.output_weight.square().sum(0).mean()
