"""Noise that knows its row: the same whatever else is in the batch, and on every device."""

from collections.abc import Callable

import torch
from torch import Tensor

from neuroreg.seeds import derive_seed


def sample_normal(like: Tensor, seeds: Tensor, purpose: str, repetition: Tensor) -> Tensor:
    """Return standard normals of one row each.

    Parameters
    ----------
    like
        (rows, ...), of the shape, type and device wanted.
    seeds
        int64 (rows,).
    purpose
        Keeps the draws of one attack apart.
    repetition
        int64 (rows,). Row i depends on ``seeds[i]``, `purpose` and ``repetition[i]`` alone.
    """
    return _per_row(torch.randn, like, seeds, purpose, repetition)


def sample_uniform(like: Tensor, seeds: Tensor, purpose: str, repetition: Tensor) -> Tensor:
    """Return uniforms in [-1, 1); parameters as in `sample_normal`."""
    return 2.0 * _per_row(torch.rand, like, seeds, purpose, repetition) - 1.0


def _per_row(draw: Callable, like: Tensor, seeds: Tensor, purpose: str, repetition: Tensor) -> Tensor:
    rows = []
    for seed, number in zip(seeds.tolist(), repetition.tolist(), strict=True):
        generator = torch.Generator().manual_seed(derive_seed(seed, purpose, number))
        rows.append(draw(like.shape[1:], generator=generator, dtype=like.dtype))
    return torch.stack(rows).to(like.device)
