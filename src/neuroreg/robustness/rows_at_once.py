"""How many rows a search attacks at once where the config leaves that open."""

from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from neuroreg.robustness.cpu_rows import ROWS_ON_CPU
from neuroreg.robustness.evaluation import evaluation

# Of a GPU's free memory: others may come to share it.
SHARE = 0.25
# What the backward pass makes beside what the forward pass leaves it.
BACKWARD = 2.0
# Copies of a row in float64 that an attack holds: the most is Brendel & Bethge's L0, recorded, at its peak.
COPIES = 600
# A pass is measured on so many rows and on twice as many: what does not grow with them does not count.
FEW = 2


def rows_at_once(
    asked: int | Literal["auto"], model: nn.Module, shape: tuple[int, ...], device: torch.device, most: int
) -> int:
    """Return how many rows to attack at once.

    Parameters
    ----------
    asked
        The config's `batch_size`. A number is returned as it is. ``"auto"`` is `ROWS_ON_CPU` on the CPU,
        where more are no faster; on a GPU as many as a quarter of its free memory holds.
    model
        As it is attacked, of inputs (rows, *shape).
    shape
        Of one input, (1, H, W).
    device
        Where.
    most
        All rows that there are, at least 1.
    """
    if asked != "auto":
        return asked
    if device.type != "cuda":
        return ROWS_ON_CPU
    free, _ = torch.cuda.mem_get_info(device)
    each = BACKWARD * bytes_of_a_row(model, shape, device) + COPIES * prod(shape) * torch.float64.itemsize
    return max(1, min(int(SHARE * free / each), most))


def bytes_of_a_row(model: nn.Module, shape: tuple[int, ...], device: torch.device) -> int:
    """Return how much a forward pass of one further input (1, H, W) keeps for the backward pass."""
    return (_kept(model, shape, device, 2 * FEW) - _kept(model, shape, device, FEW)) // FEW


def _kept(model: nn.Module, shape: tuple[int, ...], device: torch.device, rows: int) -> int:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        # Views of one memory count once.
        memory = tensor.untyped_storage()
        kept[memory.data_ptr()] = memory.nbytes()
        return tensor

    with evaluation(model, device), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        x = torch.full((rows, *shape), 0.5, device=device, requires_grad=True)
        logits = model(x)
        total = sum(kept.values())
        del logits  # until here all that was noted is in memory, so that no two parts have the same address
    return total
