"""One step of the Brendel-Bethge attack, solved exactly for many rows at once (Brendel et al. 2019, eq. 2).

Every function takes flat rows and solves, for each row by itself,

    min ||y - x0||_p   such that   b.(y - x) = c,   ||y - x||_2 <= r,   0 <= y <= 1.

Where box and radius keep the plane out of reach, the answer is the point in both that is nearest to it. Where
the radius does not bind, one sort gives the solution. Elsewhere it lies on a path with two multipliers, one
for the plane and one for the radius. A few steps that move both at once find them for nearly all rows; for
the rest, as both conditions are monotone in theirs, bracketed Newton steps that move one or the other.
L0 is not convex: there the path orders the pixels, and the answer is the best of several orders.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

# Of the plane (its normal has unit length) and of the radius, both relative to the radius; and what rounding
# leaves of the former.
PLANE_TOLERANCE = 1e-10
RADIUS_TOLERANCE = 1e-6
ROUNDING = 1e-14
# Where both multipliers step at once: how often the CPU drops finished rows. A step goes so much of the way
# to the path's ends, on endless paths to so many times the multiplier, from no further than FARTHEST; a slope
# falls at most to the share COLLAPSE.
CHECK = 2
MOST_OF, FOURFOLD, FARTHEST, COLLAPSE = 0.9, 4.0, 1e4, 0.01
# Where they step in turns: evaluations of the path at most, how often finished rows are dropped, and after
# how many Newton steps alternate with bisection.
MOST, BLOCK, PATIENCE = 160, 4, 24
# Where the plane's multiplier has no bracket yet: the first move, then four times as far each time.
FIRST_STRIDE = 1e-3
TINY = 1e-300
# Multipliers tried for L0: in units of the one that moves the steepest pixel by the radius, the last taking
# all pixels to the edge; around the best.
MULTIPLIERS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 1e12)
REFINEMENTS = (0.6, 1.6)
# Pixels of an order that are looked at first; all of them are where none of its prefixes will do.
SHORT = 64


def step_l2(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor) -> Tensor:
    """Return the point nearest to `x0` in the Euclidean norm, on the plane and in radius and box.

    Parameters
    ----------
    x
        float (rows, pixels) in [0, 1], where the row is.
    x0
        float (rows, pixels) in [0, 1], the clean images.
    b
        float (rows, pixels), the boundary's normal. Where it vanishes or is not finite the row stays at `x`.
    c
        float (rows,), how far along `b` the plane is.
    r
        float (rows,), at least 0: the largest Euclidean length of the step.

    Returns
    -------
    Tensor
        (rows, pixels) of the dtype of `x`.
    """
    return _convex_step(_l2_end, _L2Path, x, x0, b, c, r)


def step_l1(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor) -> Tensor:
    """Return the point nearest to `x0` in L1; parameters and constraints as in `step_l2`."""
    return _convex_step(_l1_end, _L1Path, x, x0, b, c, r)


def step_linf(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor) -> Tensor:
    """Return the point nearest to `x0` in Linf; parameters and constraints as in `step_l2`.

    Among equally near points it is the one nearest to `x`.
    """
    return _convex_step(_linf_end, _LinfPath, x, x0, b, c, r)


@dataclass(frozen=True)
class _Problem:
    """The rows in float64, the normal and `c` scaled to unit length of the normal."""

    x: Tensor
    x0: Tensor
    b: Tensor
    c: Tensor
    r: Tensor

    @cached_property
    def away(self) -> Tensor:
        return self.x - self.x0

    @cached_property
    def back(self) -> Tensor:
        return self.x0 - self.x

    def rows(self, rows: Tensor) -> "_Problem":
        return _Problem(self.x[rows], self.x0[rows], self.b[rows], self.c[rows], self.r[rows])


def _prepare(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor) -> tuple[_Problem, Tensor]:
    """Return the scaled problem and which rows have a plane at all."""
    x, x0, b, c, r = (part.double() for part in (x, x0, b, c, r))
    largest = b.abs().amax(dim=1)
    usable = (largest > 1e-30) & (largest < torch.inf) & (c.abs() < torch.inf)
    b = torch.where(usable[:, None], b, 1.0) / torch.where(usable, largest, 1.0)[:, None]
    length = b.norm(dim=1)
    c = torch.where(usable, c, 0.0) / torch.where(usable, largest, 1.0) / length
    return _Problem(x.clamp(0.0, 1.0), x0, b / length[:, None], c, r), usable


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.vecdot(a, b)


@dataclass(frozen=True)
class _Climb:
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
        first = _first(at_stop >= height[:, None])
        t = (height - _pick(risen - self.rise, first)) / _pick(self.remaining, first).clamp(min=TINY)
        t = t.clamp(min=0.0).minimum(_pick(self.stop, first))
        return self.at(t), t, height <= at_stop[:, -1] * (1 + 1e-12)

    def to_length(self, length: Tensor) -> Tensor:
        """Return the point where ||y - origin|| is `length`, or the line's end."""
        squared, wanted = self.room.square(), length.square()
        passed = squared.cumsum(dim=1)
        first = _first(passed + self.stop.square() * _after(self.remaining) >= wanted[:, None])
        rest = (wanted - _pick(passed - squared, first)).clamp(min=0.0)
        t = (rest / _pick(self.remaining, first).clamp(min=TINY)).sqrt()
        return self.at(t.minimum(_pick(self.stop, first)))

    def at(self, t: Tensor) -> Tensor:
        return (self.origin + t[:, None] * self.toward).clamp(0.0, 1.0)


def _climb(origin: Tensor, b: Tensor, sign: Tensor) -> _Climb:
    toward = b * sign[:, None]
    size = toward.abs()
    room = torch.where(toward > 0, 1.0 - origin, origin)
    stop = torch.where(size > 0, room / size, 0.0)
    order = _order(stop)
    stop = stop.gather(1, order)
    room, size = torch.where(size > 0, room, 0.0).gather(1, order), size.gather(1, order)
    # From the far end, so that what a few large pixels leave over is not lost in rounding.
    remaining = size.square().flip(1).cumsum(dim=1).flip(1)
    return _Climb(origin, toward, stop, room, room * size, remaining)


def _order(values: Tensor) -> Tensor:
    """Return the positions that sort each row, the smallest first."""
    if values.device.type == "cpu":  # NumPy's vectorised sort takes a seventh of the time of PyTorch's.
        return torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.argsort(dim=1, stable=True)


def _after(remaining: Tensor) -> Tensor:
    return torch.nn.functional.pad(remaining[:, 1:], (0, 1))


def _first(mask: Tensor) -> Tensor:
    """Return the first True of each row, (rows,); the last position where there is none."""
    mask = torch.cat([mask[:, :-1], torch.ones_like(mask[:, -1:])], dim=1)
    return mask.to(torch.uint8).argmax(dim=1)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[:, None])[:, 0]


def _sign(values: Tensor) -> Tensor:
    return torch.where(values < 0, -1.0, 1.0).to(values.dtype)


def _convex_step(
    end: Callable[[_Problem], Tensor], path: type, x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor
) -> Tensor:
    problem, usable = _prepare(x, x0, b, c, r)
    solution = torch.where(usable[:, None], _solve(end, path, problem), x.double())
    return solution.to(x.dtype)


def _solve(end: Callable[[_Problem], Tensor], path: type, p: _Problem) -> Tensor:
    climb = _climb(p.x, p.b, _sign(p.c))
    shortest, t, meets = climb.to_plane(p.c.abs())
    least = (shortest - p.x).norm(dim=1)
    within = meets & (least <= p.r)
    free = end(p)
    length = (free - p.x).norm(dim=1)
    inactive = length <= p.r
    # On the segment from the shortest step to the solution without radius every point is on the plane.
    safe = _where_length_is(p.r, p.x, shortest, free)
    solution = torch.where(within[:, None], safe, climb.to_length(p.r))
    solution = torch.where((within & inactive)[:, None], free, solution)

    binding = within & ~inactive & (p.r - least > RADIUS_TOLERANCE * p.r)
    lam = _sign(p.c) * t
    if p.x.device.type == "cpu":
        rows = binding.nonzero()[:, 0]
        if not len(rows):
            return solution
        part = p.rows(rows)
        start = path.begin(part, shortest[rows], lam[rows], free[rows])
        solution[rows], met = _together(part, path, start, solution[rows], CHECK)
        left = rows[~met]
    else:
        # All rows alike: which of them need it the host would have to ask.
        start = path.begin(p, shortest, lam, free)
        found, met = _together(p, path, start, solution)
        solution = torch.where(binding[:, None], found, solution)
        left = (binding & ~met).nonzero()[:, 0]
    if len(left):
        start = path.begin(p.rows(left), shortest[left], lam[left], free[left])
        found, converged = _two_multipliers(p.rows(left), path, start)
        solution[left] = torch.where(converged[:, None], found, solution[left])
    return solution


def _where_length_is(r: Tensor, x: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Return the point of the segment `near` to `far` whose distance to `x` is `r` (near is closer)."""
    offset, along = near - x, far - near
    a, half, rest = _dot(along, along), _dot(along, offset), (r.square() - _dot(offset, offset)).clamp(min=0)
    share = rest / (half + (half.square() + a * rest).clamp(min=0.0).sqrt()).clamp(min=TINY)
    return near + share.clamp(0.0, 1.0)[:, None] * along


@dataclass(frozen=True)
class _Start:
    """Where the search for the two multipliers begins.

    `inside` and `outside` bracket the outer one: the step is shorter than the radius, or longer.
    """

    outer: Tensor
    lam: Tensor
    inside: Tensor
    outside: Tensor
    least: Tensor


def _l2_end(p: _Problem) -> Tensor:
    return nearest_in_l2(p.x0, p.b, p.c - _dot(p.b, p.x0 - p.x))


def _l1_end(p: _Problem) -> Tensor:
    return nearest_in_l1(p.x0, p.b, p.c - _dot(p.b, p.x0 - p.x))


def nearest_in_l2(x0: Tensor, b: Tensor, gap: Tensor) -> Tensor:
    """Return the point of the box nearest to `x0` in L2 with b.(y - x0) = gap, as `nearest_in_l1` for L1."""
    return _climb(x0, b, _sign(gap)).to_plane(gap.abs())[0]


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
    toward = b * _sign(gap)[:, None]
    room = torch.where(toward > 0, 1.0 - x0, x0)
    size = toward.abs()
    order = _order(-size)
    size = size.gather(1, order)
    rise = size * room.gather(1, order)
    before = rise.cumsum(dim=1) - rise
    taken = ((gap.abs()[:, None] - before) / size.clamp(min=TINY)).clamp(min=0.0)
    change = torch.zeros_like(room).scatter(1, order, taken).minimum(room)
    return (x0 + change * toward.sign()).clamp(0.0, 1.0)


def _linf_end(p: _Problem) -> Tensor:
    return nearest_in_linf(p.x0, p.b, p.c - _dot(p.b, p.x0 - p.x), p.x)


def nearest_in_linf(x0: Tensor, b: Tensor, gap: Tensor, x: Tensor) -> Tensor:
    """Return the point of the box nearest to `x0` in Linf with b.(y - x0) = gap, as `nearest_in_l1` for L1.

    Where `b` is 0 it is as near to `x` as that distance allows.
    """
    toward = b * _sign(gap)[:, None]
    size = toward.abs()
    room = torch.where(toward > 0, 1.0 - x0, x0)
    order = _order(room)
    room, size = room.gather(1, order), size.gather(1, order)
    remaining = size.flip(1).cumsum(dim=1).flip(1)
    risen = (size * room).cumsum(dim=1)
    first = _first(risen + room * _after(remaining) >= gap.abs()[:, None])
    below = _pick(risen - size * room, first)
    epsilon = (gap.abs() - below).clamp(min=0.0) / _pick(remaining, first).clamp(min=TINY)
    epsilon = epsilon.minimum(_pick(room, first))[:, None]
    low, high = (x0 - epsilon).clamp(min=0.0), (x0 + epsilon).clamp(max=1.0)
    return torch.where(toward > 0, high, torch.where(toward < 0, low, x.clamp(low, high)))


class _L2Path:
    """y(t, lam) = clip(x + t (x0 - x) + lam b) with t from 0, the shortest step, to 1, no radius."""

    sign, endless, most = 1.0, False, 5

    @staticmethod
    def at(p: _Problem, t: Tensor, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw = torch.addcmul(torch.addcmul(p.x, t[:, None], p.back), lam[:, None], p.b)
        y = raw.clamp(0.0, 1.0)
        moving = raw == y
        return y, moving * p.b, moving * p.back

    @classmethod
    def begin(cls, p: _Problem, shortest: Tensor, lam: Tensor, free: Tensor) -> _Start:
        return _begin_at_zero(p, cls, shortest, lam, torch.ones_like(p.r))


class _L1Path:
    """y(s, lam) = clip(x0 + soft_s(x - x0 + lam b)) with s from 0, the shortest step, to infinity."""

    sign, endless, most = 1.0, True, 10

    @staticmethod
    def at(p: _Problem, s: Tensor, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw = torch.addcmul(p.away, lam[:, None], p.b)
        back = raw.clamp(-s[:, None], s[:, None]) - raw
        unclipped = p.x0 - back
        y = unclipped.clamp(0.0, 1.0)
        moving = torch.logical_and(unclipped == y, back)
        return y, moving * p.b, moving * back.sign()

    @classmethod
    def begin(cls, p: _Problem, shortest: Tensor, lam: Tensor, free: Tensor) -> _Start:
        return _begin_at_zero(p, cls, shortest, lam, torch.full_like(p.r, torch.inf))


class _LinfPath:
    """y(eps, lam) = clip(x + lam b) to the box within eps of x0; eps falls from the shortest step's."""

    sign, endless, most = -1.0, False, 10

    @staticmethod
    def at(p: _Problem, epsilon: Tensor, lam: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low, high = p.x0 - epsilon[:, None], p.x0 + epsilon[:, None]
        raw = torch.addcmul(p.x, lam[:, None], p.b)
        y = raw.clamp(low.clamp(min=0.0), high.clamp(max=1.0))
        with_plane = (raw == y) * p.b
        # Outside the pixel box an edge is never met.
        with_outer = ((y == high).view(torch.int8) - (y == low).view(torch.int8)).to(y.dtype)
        return y, with_plane, with_outer

    @classmethod
    def begin(cls, p: _Problem, shortest: Tensor, lam: Tensor, free: Tensor) -> _Start:
        least, length = (shortest - p.x).norm(dim=1), (free - p.x).norm(dim=1)
        inside, outside = (shortest - p.x0).abs().amax(dim=1), (free - p.x0).abs().amax(dim=1)
        share = (p.r.square() - least.square()) / (length.square() - least.square()).clamp(min=TINY)
        outer = inside + share.clamp(0.0, 1.0).sqrt() * (outside - inside)
        return _Start(outer, lam, inside, outside, least)


def _begin_at_zero(p: _Problem, path: type, shortest: Tensor, lam: Tensor, outside: Tensor) -> _Start:
    """Return the start of a path whose outer multiplier begins at 0 with the shortest step.

    While no pixel stops or starts to move, the squared length of the step grows by `growth` q^2.
    """
    zero = torch.zeros_like(p.r)
    _, with_plane, with_outer = path.at(p, zero, lam)
    least = (shortest - p.x).norm(dim=1)
    mixed = _dot(with_plane, with_outer)
    drift = -mixed / _dot(with_plane, with_plane).clamp(min=TINY)
    growth = _dot(with_outer, with_outer) + drift * mixed
    outer = ((p.r.square() - least.square()).clamp(min=0.0) / growth.clamp(min=TINY)).sqrt()
    outer = torch.where(outer < outside, outer, 0.5 * outside.clamp(max=2.0))
    return _Start(outer, lam + drift * outer, zero, outside, least)


def _together(
    p: _Problem, path: type, start: _Start, solution: Tensor, check: int | None = None
) -> tuple[Tensor, Tensor]:
    """Follow `path` as `_two_multipliers` does, by steps of both multipliers at once.

    While no pixel stops or starts to move, the plane's condition is linear in the two and the radius's
    quadratic: each step goes to where both would then hold, no further than most of the way to the ends of
    the path. Where the same pixels move there it is the answer. A few steps do for nearly all rows; it is
    not proven that they do for all.

    Parameters
    ----------
    solution
        float64 (rows, pixels), returned where the answer was not met.
    check
        How often rows that are done are dropped; never if None, which spares the host the question.

    Returns
    -------
    tuple
        float64 (rows, pixels); bool (rows,), whether both conditions hold.
    """
    outer, lam = start.outer.clamp(max=FARTHEST), start.lam
    low, high = (start.inside, start.outside)[:: int(path.sign)]
    nearest, farthest = MOST_OF * low, torch.zeros_like(high) if path.endless else MOST_OF * high
    growth = FOURFOLD if path.endless else 1 - MOST_OF
    slope = torch.full_like(lam, TINY)
    # Of b, delta, dy/dlam and dy/douter all products at once, less c and the squared radius.
    base = p.x.new_zeros(len(lam), 4, 4)
    base[:, 0, 1], base[:, 1, 1] = -p.c, -p.r.square()
    tolerance = torch.stack(
        [(PLANE_TOLERANCE * p.r).clamp(ROUNDING, PLANE_TOLERANCE), 2 * RADIUS_TOLERANCE * p.r.square()], dim=1
    )
    tilt = p.x.new_zeros(len(lam), 2, 3)
    tilt[:, 0, 0], tilt[:, 1, 2] = 1.0, 1.0
    met = torch.zeros_like(lam, dtype=torch.bool)
    rows = None
    for count in range(1, path.most + 1):
        y, with_plane, with_outer = path.at(p, outer, lam)
        parts = torch.stack([p.b, y - p.x, with_plane, with_outer], dim=1)
        products = torch.baddbmm(base, parts, parts.mT)
        last = count == path.most
        if last or (check and count % check == 0):
            done = (products[:, :2, 1].abs() <= tolerance).all(dim=1)
            if rows is None and last:
                return torch.where(done[:, None], y, solution), done
            rows = torch.arange(len(lam), device=lam.device) if rows is None else rows
            solution[rows], met[rows] = torch.where(done[:, None], y, solution[rows]), done
            left = (~done).nonzero()[:, 0]
            if last or not len(left):
                break
            if len(left) < len(rows):
                rows, p, products = rows[left], p.rows(left), products[left]
                outer, lam, slope, nearest, farthest = (
                    part[left] for part in (outer, lam, slope, nearest, farthest)
                )
                base, tolerance, tilt = base[left], tolerance[left], tilt[left]
        # A slope that collapses would throw the plane's multiplier too far.
        slope = torch.maximum(products[:, 2, 2], COLLAPSE * slope)
        back = products[:, 0, 1::2] / slope[:, None]
        torch.neg(back, out=tilt[:, :, 1])
        within = torch.bmm(torch.bmm(tilt, products[:, 1:, 1:]), tilt.mT)
        over, half, bend = within[:, 0, 0], within[:, 0, 1], within[:, 1, 1]
        root = torch.addcmul(half.square(), bend, over, value=-1).clamp_(min=TINY).sqrt_()
        moved = torch.addcdiv(outer, over, root + half.abs(), value=-path.sign)
        moved = moved.clamp(
            torch.add(nearest, outer, alpha=1 - MOST_OF), torch.add(farthest, outer, alpha=growth)
        )
        lam = torch.addcmul(lam - back[:, 0], back[:, 1], moved - outer, value=-1)
        outer = moved
    return solution, met


def _two_multipliers(p: _Problem, path: type, start: _Start) -> tuple[Tensor, Tensor]:
    """Follow `path` to where it is on the plane and as long as the radius.

    The multiplier of the plane is the inner one: each evaluation either moves it or, when the plane is met,
    the outer one, with the inner one carried along the tangent. Each row goes its own way; those that have
    converged are dropped every few evaluations.

    Returns
    -------
    tuple
        y (rows, pixels); bool (rows,), whether both conditions hold.
    """
    solution, converged = torch.zeros_like(p.x), torch.zeros_like(p.r, dtype=torch.bool)
    rows = torch.arange(len(p.r), device=p.r.device)
    endless = torch.full_like(p.r, torch.inf)
    state = [start.outer, start.lam, start.inside, start.outside, start.least.square()]
    state += [-endless, endless, torch.full_like(p.r, FIRST_STRIDE)]
    for count in range(MOST):
        outer, lam, inside, outside, least, low, high, stride = state
        y, with_plane, with_outer = path.at(p, outer, lam)
        delta = y - p.x
        excess, squared = _dot(p.b, delta) - p.c, _dot(delta, delta)
        slope, mixed = _dot(with_plane, p.b), _dot(with_outer, p.b)
        on_plane = excess.abs() <= (PLANE_TOLERANCE * p.r).clamp(ROUNDING, PLANE_TOLERANCE)
        done = on_plane & ((squared.sqrt() - p.r).abs() <= RADIUS_TOLERANCE * p.r)
        patient = count < PATIENCE

        # Inner: a Newton step in the bracket, or its middle, or further out where there is no end yet.
        low, high = torch.where(excess < 0, lam, low), torch.where(excess > 0, lam, high)
        newton, middle = lam - excess / slope, (low + high) / 2
        open_ended = ~torch.isfinite(middle)
        good = (newton > low) & (newton < high) & (slope > 0)
        if not patient and count % 3 == 2:
            good = good & open_ended
        other = torch.where(open_ended, lam - excess.sign() * stride, middle)
        next_lam = torch.where(good, newton, other)
        stride = torch.where(open_ended & ~good, 4 * stride, stride)

        # Outer: the same for sqrt(length^2 - least^2), which is nearly linear in it.
        longer = squared > p.r.square()
        inner_end, outer_end = torch.where(longer, inside, outer), torch.where(longer, outer, outside)
        drift = torch.where(slope > 0, -mixed / slope, 0.0)
        growth = _dot(delta, with_outer) + drift * _dot(delta, with_plane)
        grown = (squared - least).clamp(min=0.0).sqrt()
        goal = (p.r.square() - least).clamp(min=0.0).sqrt()
        newton = outer + grown * (goal - grown) / growth
        middle = torch.where(torch.isinf(outer_end), 2 * outer, (inner_end + outer_end) / 2)
        good = (newton - inner_end) * (newton - outer_end) < 0
        if not patient and count % 2 == 1:
            good = torch.zeros_like(good)
        next_outer = torch.where(good, newton, middle)

        move = on_plane & ~done
        next_lam = torch.where(move, lam + drift * (next_outer - outer), next_lam)
        state = [
            torch.where(move, next_outer, outer),
            torch.where(done, lam, next_lam),
            torch.where(move, inner_end, inside),
            torch.where(move, outer_end, outside),
            least,
            torch.where(move, -torch.inf, low),
            torch.where(move, torch.inf, high),
            stride,
        ]
        if count % BLOCK == BLOCK - 1:
            solution[rows], converged[rows] = y, done
            left = (~done).nonzero()[:, 0]
            if not len(left):
                break
            rows, p, state = rows[left], p.rows(left), [part[left] for part in state]
    return solution, converged


def step_l0(x: Tensor, x0: Tensor, b: Tensor, c: Tensor, r: Tensor) -> Tensor:
    """Return a point that differs from `x0` in few pixels; parameters and constraints as in `step_l2`.

    For a multiplier rho of the plane the Lagrangian of the problem orders the pixels by what it gains from
    letting each differ from `x0`. The shortest prefix of that order with which plane and radius can be met is
    a support; several multipliers give several, and the smallest is kept. On it the pixels are put nearest to
    `x0` in L1, which empties more of them from one step to the next.
    """
    p, usable = _prepare(x, x0, b, c, r)
    solution = _on_support(p, _support(p))
    for choose in (lambda part: part.away != 0, lambda part: torch.ones_like(part.x, dtype=torch.bool)):
        delta = solution - p.x
        off = ((_dot(p.b, delta) - p.c).abs() > 1e-8) | (
            delta.norm(dim=1) > p.r * (1 + 10 * RADIUS_TOLERANCE)
        )
        pending = (off & usable).nonzero()[:, 0]
        if not len(pending):
            break
        part = p.rows(pending)
        solution[pending] = _on_support(part, choose(part))
    return torch.where(usable[:, None], solution, x.double()).to(x.dtype)


def _on_support(p: _Problem, support: Tensor) -> Tensor:
    """Return the nearest point in L1 that differs from `x0` on `support` alone."""
    inside = torch.where(support, p.x, p.x0)
    moved = inside - p.x
    r = (p.r.square() - _dot(moved, moved)).clamp(min=0.0).sqrt()
    normal = torch.where(support, p.b, 0.0)
    return _solve(_l1_end, _L1Path, _Problem(inside, p.x0, normal, p.c - _dot(p.b, moved), r))


def _support(p: _Problem) -> Tensor:
    """Return bool (rows, pixels), the pixels that may differ from `x0`."""
    chosen, pixels = p.away != 0, p.x.shape[1]
    if p.x.device.type != "cpu":  # a short look would only spare work, and the host would have to ask
        return _shortest_prefix(p, pixels)[0]
    few = chosen.sum(dim=1) <= SHORT // 2
    pending = few.nonzero()[:, 0]
    if len(pending):
        chosen[pending], found = _shortest_prefix(p.rows(pending), min(SHORT, pixels))
        few[pending] = found
    pending = (~few).nonzero()[:, 0]
    if len(pending):
        chosen[pending], _ = _shortest_prefix(p.rows(pending), pixels)
    return chosen


def _shortest_prefix(p: _Problem, longest: int) -> tuple[Tensor, Tensor]:
    """Return the shortest of all orders' prefixes of up to `longest` pixels that will do.

    Returns
    -------
    tuple
        bool (rows, pixels), what differs from `x0` already where there is none; bool (rows,), whether there
        is one.
    """
    sign = _sign(p.c + _dot(p.b, p.away))
    toward, height = p.b * sign[:, None], (p.c * sign)[:, None]
    back, limit = -p.away, p.r.square()[:, None]
    edge = torch.where(toward > 0, 1.0 - p.x, torch.where(toward < 0, -p.x, 0.0))
    rank = torch.arange(longest, device=p.x.device)
    scale = p.r.clamp(max=1.0) / toward.abs().amax(dim=1).clamp(min=TINY)
    fewest, least = torch.full_like(p.r, torch.inf), torch.full_like(p.r, torch.inf)
    best, chosen = scale, p.away != 0
    home, home_length = _dot(toward, back)[:, None], _dot(back, back)[:, None]
    # On the CPU one multiplier after the other, which keeps to its caches; elsewhere the first ones at once.
    first_ones = [[factor] for factor in MULTIPLIERS] if p.x.device.type == "cpu" else [MULTIPLIERS]
    for factors in [*first_ones, *([factor] for factor in REFINEMENTS)]:
        unit = best if factors[0] in REFINEMENTS else scale
        rho = torch.stack([factor * unit for factor in factors])
        line = rho[:, :, None] * toward
        there = torch.where(toward > 0, line.minimum(edge), line.maximum(edge))
        gain = 2 * line * (there - back) - (there.square() - back.square())
        order = _order(-gain.flatten(0, 1)).view_as(gain)[:, :, :longest]
        normal, returned, moved = (part.expand_as(gain).gather(2, order) for part in (toward, back, there))
        # What the pixels outside the prefix do on their way home.
        others = home - (normal * returned).cumsum(dim=2)
        others_length = home_length - returned.square().cumsum(dim=2)
        # From x all of the prefix goes the same share of its way to the plane; where its way leads past it
        # already at x, back along the normal.
        rise, length = (normal * moved).cumsum(dim=2), moved.square().cumsum(dim=2)
        missing = height - others
        share = missing / rise.clamp(min=TINY)
        needed = others_length + torch.where(
            missing >= 0,
            torch.where(share <= 1.0, share.square() * length, torch.inf),
            missing.square() / normal.square().cumsum(dim=2).clamp(min=TINY),
        )
        fits = needed <= limit
        first = _first(fits.flatten(0, 1))
        spent = _pick(needed.flatten(0, 1), first).view_as(rho)
        count = torch.where(fits.any(dim=2), first.view_as(rho) + 1.0, torch.inf)
        # The first of those that take the fewest pixels and of these the shortest step.
        fewer = count.amin(dim=0)
        winner = torch.where(count == fewer, spent, torch.inf).argmin(dim=0)[None]
        spent, rho = spent.gather(0, winner)[0], rho.gather(0, winner)[0]
        order = order.gather(0, winner[:, :, None].expand_as(order[:1]))[0]
        better = (fewer < fewest) | ((fewer == fewest) & (spent < least))
        fewest, least = torch.where(better, fewer, fewest), torch.where(better, spent, least)
        best = torch.where(better, rho, best)
        prefix = torch.zeros_like(chosen).scatter(1, order, rank < fewer[:, None])
        chosen = torch.where(better[:, None], prefix, chosen)
    return chosen, torch.isfinite(fewest)
