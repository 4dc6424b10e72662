"""A model whose forward passes all have the same shape, so that a row never depends on its neighbours."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FixedBatch(nn.Module):
    """Passes inputs on to `model`, `rows` at a time, the last ones filled up with black images.

    Sums within a convolution come in an order that depends on the batch's shape, not on what else is in it:
    under one shape, on the CPU, a row's logits and gradients are the same to the bit wherever it is.

    Parameters
    ----------
    model
        Of inputs (B, 1, H, W), in eval mode when called.
    rows
        The shape's B.
    """

    def __init__(self, model: nn.Module, rows: int) -> None:
        super().__init__()
        self.model, self.rows = model, rows

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's outputs, (B, ...), for any B."""
        return torch.cat([self._few(part) for part in x.split(self.rows)])

    def _few(self, x: Tensor) -> Tensor:
        missing = self.rows - len(x)
        return self.model(F.pad(x, (0, 0, 0, 0, 0, 0, 0, missing)))[: len(x)]
