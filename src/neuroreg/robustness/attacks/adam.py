"""Adam (Kingma & Ba 2015) with a step size of its own for each row."""

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Turns gradients (rows, ...) into steps; rows do not mix.

    Parameters
    ----------
    like
        What is optimised, (rows, ...).
    stepsize
        float (rows, 1, ...).
    """

    def __init__(self, like: Tensor, stepsize: Tensor) -> None:
        self.stepsize, self.time = stepsize, 0
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)

    def step(self, gradient: Tensor) -> Tensor:
        """Return what to add when climbing along `gradient`, or to take off when descending."""
        self.time += 1
        self.mean = BETA1 * self.mean + (1 - BETA1) * gradient
        self.square = BETA2 * self.square + (1 - BETA2) * gradient.square()
        mean, square = self.mean / (1 - BETA1**self.time), self.square / (1 - BETA2**self.time)
        return self.stepsize * mean / (square.sqrt() + EPSILON)
