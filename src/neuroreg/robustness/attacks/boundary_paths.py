"""The problem of a Brendel-Bethge step and, for each norm, the path on which its solution lies.

A path has two multipliers: the outer one, for the radius, takes it from the shortest step onto the plane,
where it is `inside`, to the solution without a radius, where it is `outside`; at each value of it the inner
one, `lam`, is what keeps the point on the plane. Along the path the step grows longer and the point comes
nearer to the clean image. It is piecewise linear in the pixels.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from neuroreg.robustness.attacks.projections import TINY, nearest_in_l1, nearest_in_l2, nearest_in_linf


@dataclass(frozen=True)
class Problem:
    """Rows in float64: point, clean image, normal of unit length, how far the plane is, radius.

    `x`, `x0` and `b` are (rows, pixels), `c` and `r` (rows,). Several points of a path at once are asked for
    where there is one more dimension: (rows, 1, pixels) and (rows, 1).
    """

    x: Tensor
    x0: Tensor
    b: Tensor
    c: Tensor
    r: Tensor

    @cached_property
    def away(self) -> Tensor:
        """How far the point is from the clean image."""
        return self.x - self.x0

    @cached_property
    def back(self) -> Tensor:
        """The way from the point to the clean image."""
        return self.x0 - self.x

    @property
    def gap(self) -> Tensor:
        """How far the plane is from the clean image, (rows,)."""
        return self.c - dot(self.b, self.back)

    def rows(self, rows: Tensor) -> "Problem":
        """Return some rows."""
        return Problem(self.x[rows], self.x0[rows], self.b[rows], self.c[rows], self.r[rows])

    def several(self) -> "Problem":
        """Return the same, ready to be asked for several points of each row's path."""
        return Problem(self.x[:, None], self.x0[:, None], self.b[:, None], self.c[:, None], self.r[:, None])


@dataclass(frozen=True)
class Start:
    """Where the search for the two multipliers begins, all (rows,).

    At `inside` the step is shorter than the radius, at `outside` longer.
    """

    outer: Tensor
    lam: Tensor
    inside: Tensor
    outside: Tensor

    def rows(self, rows: Tensor) -> "Start":
        """Return some rows."""
        return Start(self.outer[rows], self.lam[rows], self.inside[rows], self.outside[rows])


class Path(Protocol):
    """What a norm's path tells.

    Attributes
    ----------
    sign
        1 where the outer multiplier grows along the path, else -1.
    endless
        Whether it goes to infinity.
    most
        Steps of both multipliers at once that `together` takes where it does not look who is done.
    """

    sign: float
    endless: bool
    most: int

    @staticmethod
    def end(p: Problem) -> Tensor:
        """Return the solution without a radius, (rows, pixels)."""

    @staticmethod
    def begin(p: Problem, shortest: Tensor, lam: Tensor, free: Tensor) -> Start:
        """Return where to begin: `shortest` is the path's first point, at `lam`, `free` its end."""

    @staticmethod
    def point(p: Problem, outer: Tensor, lam: Tensor) -> Tensor:
        """Return the point at these multipliers."""

    @staticmethod
    def at(p: Problem, outer: Tensor, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same and its derivatives with respect to `lam` and to the outer multiplier."""

    @staticmethod
    def stops(p: Problem, outer: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
        """Return where pixels start and stop to move while `lam` grows from 0.

        `toward` is the normal or its opposite, whose multiplier `lam` then is. Both are distances times
        |normal|, below 0 for what has been passed already; each pixel may have several such stretches, in
        multiples of the last dimension.
        """


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the products of the rows."""
    return torch.linalg.vecdot(a, b)


class L2Path:
    """y(t, lam) = clip(x + t (x0 - x) + lam b) with t from 0, the shortest step, to 1, no radius."""

    sign, endless, most = 1.0, False, 5

    @staticmethod
    def end(p: Problem) -> Tensor:
        """See `Path.end`."""
        return nearest_in_l2(p.x0, p.b, p.gap)

    @classmethod
    def begin(cls, p: Problem, shortest: Tensor, lam: Tensor, free: Tensor) -> Start:
        """See `Path.begin`."""
        return _begin_at_zero(p, cls, shortest, lam, torch.ones_like(p.r))

    @staticmethod
    def point(p: Problem, t: Tensor, lam: Tensor) -> Tensor:
        """See `Path.point`."""
        return _along_l2(p, t, lam).clamp(0.0, 1.0)

    @staticmethod
    def at(p: Problem, t: Tensor, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Path.at`."""
        raw = _along_l2(p, t, lam)
        y = raw.clamp(0.0, 1.0)
        moving = raw == y
        return y, moving * p.b, moving * p.back

    @staticmethod
    def stops(p: Problem, t: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
        """See `Path.stops`."""
        base = torch.addcmul(p.x, t[..., None], p.back)
        return torch.zeros_like(base), torch.where(toward > 0, 1.0 - base, base)


def _along_l2(p: Problem, t: Tensor, lam: Tensor) -> Tensor:
    return torch.addcmul(torch.addcmul(p.x, t[..., None], p.back), lam[..., None], p.b)


class L1Path:
    """y(s, lam) = clip(x0 + soft_s(x - x0 + lam b)) with s from 0, the shortest step, to infinity."""

    sign, endless, most = 1.0, True, 10

    @staticmethod
    def end(p: Problem) -> Tensor:
        """See `Path.end`."""
        return nearest_in_l1(p.x0, p.b, p.gap)

    @classmethod
    def begin(cls, p: Problem, shortest: Tensor, lam: Tensor, free: Tensor) -> Start:
        """See `Path.begin`."""
        return _begin_at_zero(p, cls, shortest, lam, torch.full_like(p.r, torch.inf))

    @staticmethod
    def point(p: Problem, s: Tensor, lam: Tensor) -> Tensor:
        """See `Path.point`."""
        return (p.x0 - _soft_back(p, s, lam)).clamp(0.0, 1.0)

    @staticmethod
    def at(p: Problem, s: Tensor, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Path.at`."""
        back = _soft_back(p, s, lam)
        unclipped = p.x0 - back
        y = unclipped.clamp(0.0, 1.0)
        moving = torch.logical_and(unclipped == y, back)
        return y, moving * p.b, moving * back.sign()

    @staticmethod
    def stops(p: Problem, s: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
        """See `Path.stops`."""
        # First back to the clean image from beyond it, then on from there.
        up, s = toward > 0, s[..., None]
        gone, room = torch.where(up, p.away, p.back), torch.where(up, 1.0 - p.x0, p.x0)
        return (
            torch.cat([room - 1.0 - s - gone, s - gone], dim=-1),
            torch.cat([-s - gone, s + room - gone], dim=-1),
        )


def _soft_back(p: Problem, s: Tensor, lam: Tensor) -> Tensor:
    raw, s = torch.addcmul(p.away, lam[..., None], p.b), s[..., None]
    return raw.clamp(-s, s) - raw


class LinfPath:
    """y(eps, lam) = clip(x + lam b) to the box within eps of x0; eps falls from the shortest step's."""

    sign, endless, most = -1.0, False, 10

    @staticmethod
    def end(p: Problem) -> Tensor:
        """See `Path.end`."""
        return nearest_in_linf(p.x0, p.b, p.gap, p.x)

    @staticmethod
    def begin(p: Problem, shortest: Tensor, lam: Tensor, free: Tensor) -> Start:
        """See `Path.begin`."""
        least, length = (shortest - p.x).norm(dim=1), (free - p.x).norm(dim=1)
        inside, outside = (shortest - p.x0).abs().amax(dim=1), (free - p.x0).abs().amax(dim=1)
        share = (p.r.square() - least.square()) / (length.square() - least.square()).clamp(min=TINY)
        outer = inside + share.clamp(0.0, 1.0).sqrt() * (outside - inside)
        return Start(outer, lam, inside, outside)

    @staticmethod
    def point(p: Problem, epsilon: Tensor, lam: Tensor) -> Tensor:
        """See `Path.point`."""
        low, high = p.x0 - epsilon[..., None], p.x0 + epsilon[..., None]
        return torch.addcmul(p.x, lam[..., None], p.b).clamp(low.clamp(min=0.0), high.clamp(max=1.0))

    @staticmethod
    def at(p: Problem, epsilon: Tensor, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Path.at`."""
        low, high = p.x0 - epsilon[..., None], p.x0 + epsilon[..., None]
        raw = torch.addcmul(p.x, lam[..., None], p.b)
        y = raw.clamp(low.clamp(min=0.0), high.clamp(max=1.0))
        with_plane = (raw == y) * p.b
        # Outside the pixel box an edge is never met.
        with_outer = ((y == high).view(torch.int8) - (y == low).view(torch.int8)).to(y.dtype)
        return y, with_plane, with_outer

    @staticmethod
    def stops(p: Problem, epsilon: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
        """See `Path.stops`."""
        low, high = p.x0 - epsilon[..., None], p.x0 + epsilon[..., None]
        low, high, up = low.clamp(min=0.0) - p.x, high.clamp(max=1.0) - p.x, toward > 0
        return torch.where(up, low, -high), torch.where(up, high, -low)


def _begin_at_zero(p: Problem, path: type[Path], shortest: Tensor, lam: Tensor, outside: Tensor) -> Start:
    """Return the start of a path whose outer multiplier begins at 0 with the shortest step.

    While no pixel stops or starts to move, the squared length of the step grows by `growth` q^2.
    """
    zero = torch.zeros_like(p.r)
    _, with_plane, with_outer = path.at(p, zero, lam)
    least = (shortest - p.x).norm(dim=1)
    mixed = dot(with_plane, with_outer)
    drift = -mixed / dot(with_plane, with_plane).clamp(min=TINY)
    growth = dot(with_outer, with_outer) + drift * mixed
    outer = ((p.r.square() - least.square()).clamp(min=0.0) / growth.clamp(min=TINY)).sqrt()
    outer = torch.where(outer < outside, outer, 0.5 * outside.clamp(max=2.0))
    return Start(outer, lam + drift * outer, zero, outside)
