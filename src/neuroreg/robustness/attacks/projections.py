"""Nearest points of the box [0, 1] on a plane, of many rows at once: one sort gives each.

All tensors are float64; rows do not mix.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TINY = 1e-300


def nearest_in_l2(x0: Tensor, b: Tensor, gap: Tensor) -> Tensor:
    """Return the point of the box nearest to `x0` in L2 with b.(y - x0) = gap, as `nearest_in_l1` for L1."""
    return climb(x0, b, sign_of(gap)).to_plane(gap.abs())[0]


def nearest_in_l1(x0: Tensor, b: Tensor, gap: Tensor) -> Tensor:
    """Return the point y of the box [0, 1] nearest to `x0` in L1 with b.(y - x0) = gap.

    The pixels with the largest |b| go to the box's edge, the last one part of the way. Where the plane is out
    of reach all pixels go to the edge.

    Parameters
    ----------
    x0
        float64 (rows, pixels) in [0, 1].
    b
        float64 (rows, pixels), finite.
    gap
        float64 (rows,).
    """
    toward = b * sign_of(gap)[:, None]
    room = torch.where(toward > 0, 1.0 - x0, x0)
    size = toward.abs()
    order = order_of(-size)
    size = size.gather(1, order)
    rise = size * room.gather(1, order)
    before = rise.cumsum(dim=1) - rise
    taken = ((gap.abs()[:, None] - before) / size.clamp(min=TINY)).clamp(min=0.0)
    change = torch.zeros_like(room).scatter(1, order, taken).minimum(room)
    return (x0 + change * toward.sign()).clamp(0.0, 1.0)


def nearest_in_linf(x0: Tensor, b: Tensor, gap: Tensor, x: Tensor) -> Tensor:
    """Return the point of the box nearest to `x0` in Linf with b.(y - x0) = gap, as `nearest_in_l1` for L1.

    Where `b` is 0 it is as near to `x` as that distance allows.
    """
    toward = b * sign_of(gap)[:, None]
    size = toward.abs()
    room = torch.where(toward > 0, 1.0 - x0, x0)
    order = order_of(room)
    room, size = room.gather(1, order), size.gather(1, order)
    remaining = size.flip(1).cumsum(dim=1).flip(1)
    risen = (size * room).cumsum(dim=1)
    first = first_true(risen + room * _after(remaining) >= gap.abs()[:, None])
    below = pick(risen - size * room, first)
    epsilon = (gap.abs() - below).clamp(min=0.0) / pick(remaining, first).clamp(min=TINY)
    epsilon = epsilon.minimum(pick(room, first))[:, None]
    low, high = (x0 - epsilon).clamp(min=0.0), (x0 + epsilon).clamp(max=1.0)
    return torch.where(toward > 0, high, torch.where(toward < 0, low, x.clamp(low, high)))


@dataclass(frozen=True)
class Climb:
    """The line clip(origin + t * sign * b), t >= 0, with what it has reached at each pixel's stop."""

    origin: Tensor
    toward: Tensor
    stop: Tensor
    room: Tensor
    rise: Tensor
    remaining: Tensor

    def to_plane(self, height: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the point where |b.(y - origin)| is `height`, its t, and whether there is one."""
        risen = self.rise.cumsum(dim=1)
        at_stop = risen + self.stop * _after(self.remaining)
        first = first_true(at_stop >= height[:, None])
        t = (height - pick(risen - self.rise, first)) / pick(self.remaining, first).clamp(min=TINY)
        t = t.clamp(min=0.0).minimum(pick(self.stop, first))
        return self.at(t), t, height <= at_stop[:, -1] * (1 + 1e-12)

    def to_length(self, length: Tensor) -> Tensor:
        """Return the point where ||y - origin|| is `length`, or the line's end."""
        squared, wanted = self.room.square(), length.square()
        passed = squared.cumsum(dim=1)
        first = first_true(passed + self.stop.square() * _after(self.remaining) >= wanted[:, None])
        rest = (wanted - pick(passed - squared, first)).clamp(min=0.0)
        t = (rest / pick(self.remaining, first).clamp(min=TINY)).sqrt()
        return self.at(t.minimum(pick(self.stop, first)))

    def at(self, t: Tensor) -> Tensor:
        """Return the points where t is `t` (rows,)."""
        return (self.origin + t[:, None] * self.toward).clamp(0.0, 1.0)


def climb(origin: Tensor, b: Tensor, sign: Tensor) -> Climb:
    """Return the line from `origin` (rows, pixels), in the box, along `sign` (rows,) times `b`."""
    toward = b * sign[:, None]
    size = toward.abs()
    room = torch.where(toward > 0, 1.0 - origin, origin)
    stop = torch.where(size > 0, room / size, 0.0)
    order = order_of(stop)
    stop = stop.gather(1, order)
    room, size = torch.where(size > 0, room, 0.0).gather(1, order), size.gather(1, order)
    # From the far end, so that what a few large pixels leave over is not lost in rounding.
    remaining = size.square().flip(1).cumsum(dim=1).flip(1)
    return Climb(origin, toward, stop, room, room * size, remaining)


def order_of(values: Tensor) -> Tensor:
    """Return the positions that sort each row, the smallest first."""
    if values.device.type == "cpu":  # NumPy's vectorised sort takes a seventh of the time of PyTorch's.
        return torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.argsort(dim=1, stable=True)


def _after(remaining: Tensor) -> Tensor:
    return torch.nn.functional.pad(remaining[:, 1:], (0, 1))


def first_true(mask: Tensor) -> Tensor:
    """Return the first True of each row, (rows,); the last position where there is none."""
    mask = torch.cat([mask[:, :-1], torch.ones_like(mask[:, -1:])], dim=1)
    return mask.to(torch.uint8).argmax(dim=1)


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Return of each row the value at `index`, (rows,)."""
    return values.gather(1, index[:, None])[:, 0]


def sign_of(values: Tensor) -> Tensor:
    """Return -1 where negative, else 1."""
    return torch.where(values < 0, -1.0, 1.0).to(values.dtype)
