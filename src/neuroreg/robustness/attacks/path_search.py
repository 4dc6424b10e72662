"""Finds the point of a path on the plane whose step is as long as the radius.

A few steps that move both multipliers at once find it for nearly all rows. For the rest the outer one is
bracketed, several values of it at a time, and each has its inner one by a sort of the places where pixels
start and stop to move. All takes a number of steps that is known before, so that the host has nothing to ask.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from neuroreg.robustness.attacks.boundary_paths import Path, Problem, Start, dot
from neuroreg.robustness.attacks.projections import TINY, first_true, order_of, pick, sign_of

# Of the plane (its normal has unit length) and of the radius, both relative to the radius; and what rounding
# leaves of the former.
PLANE_TOLERANCE = 1e-10
RADIUS_TOLERANCE = 1e-6
ROUNDING = 1e-14
# Where both multipliers step at once: how often the CPU drops finished rows. A step goes so much of the way
# to the path's ends, on endless paths to so many times the multiplier, from no further than FARTHEST; a slope
# falls at most to the share COLLAPSE.
CHECK = 2
# What it then takes at most, as those rows cost little.
PATIENCE = 16
MOST_OF, FOURFOLD, FARTHEST, COLLAPSE = 0.9, 4.0, 1e4, 0.01
# On an endless path the bracket's middle is where the search begins, from no nearer than NEAREST; how near to
# the end it looks, of 1.
NEAREST, SHORT_OF_THE_END = 1e-4, 1e-6


@dataclass(frozen=True)
class Bracketing:
    """How often the outer multiplier's bracket is narrowed, and at which values.

    Attributes
    ----------
    rounds
        How often.
    evenly
        Values spread over the bracket.
    around
        Values on each side of the guess, the nearest ones closest together.
    closer
        How many times closer to the guess each of these is than the last.
    """

    rounds: int
    evenly: int
    around: int
    closer: float


# Both end within rounding on steps of real searches. Time goes with the values on the CPU, with the rounds on
# a GPU.
ON_CPU, ON_GPU = Bracketing(8, 1, 1, 16.0), Bracketing(3, 12, 4, 4.0)


def together(
    p: Problem, path: type[Path], start: Start, solution: Tensor, check: int | None = None
) -> tuple[Tensor, Tensor]:
    """Follow `path` by steps of both multipliers at once.

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
    most = PATIENCE if check else path.most
    for count in range(1, most + 1):
        y, with_plane, with_outer = path.at(p, outer, lam)
        parts = torch.stack([p.b, y - p.x, with_plane, with_outer], dim=1)
        products = torch.baddbmm(base, parts, parts.mT)
        last = count == most
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


def between(p: Problem, path: type[Path], start: Start, shortest: Tensor, free: Tensor) -> Tensor:
    """Follow `path` from both ends to where it is as long as the radius.

    Each round keeps the two neighbours between which the radius lies. Between the last two the path is taken
    for straight, which it is but for the pixels that stop or start to move there; plane, box and radius are
    kept in any case.

    Parameters
    ----------
    shortest, free
        float64 (rows, pixels), the ends of the path: within the radius, and beyond it.

    Returns
    -------
    Tensor
        float64 (rows, pixels).
    """
    how = ON_CPU if p.x.device.type == "cpu" else ON_GPU
    several, steps = p.several(), torch.arange(max(how.evenly, how.around), device=p.x.device)
    evenly = (1.0 + steps[: how.evenly]).to(p.x.dtype) / (how.evenly + 1)
    around = 0.5 * how.closer ** -steps[: how.around].to(p.x.dtype)
    least = (shortest - p.x).square().sum(dim=1)
    goal = _grown(p.r.square(), least)
    # Along the path from 0 to 1; what has grown is nearly linear in it.
    places = torch.stack([torch.zeros_like(p.r), torch.ones_like(p.r)], dim=1)
    grown = torch.stack([torch.zeros_like(p.r), _grown((free - p.x).square().sum(dim=1), least)], dim=1)
    points = torch.stack([shortest, free], dim=1)
    middle = start.outer.clamp(NEAREST, FARTHEST)
    if path.endless:
        guess = torch.full_like(p.r, 0.5)
    else:
        guess = (start.outer - start.inside) / (start.outside - start.inside)
    for _ in range(how.rounds):
        low, high, guess = places[:, :1], places[:, 1:], guess[:, None]
        place = torch.cat(
            [torch.lerp(low, high, evenly), torch.lerp(guess, low, around), torch.lerp(guess, high, around)],
            dim=1,
        ).sort(dim=1)[0]
        if path.endless:
            outer = middle[:, None] * (place / (1.0 - place).clamp(min=SHORT_OF_THE_END)).square()
        else:
            outer = torch.lerp(start.inside[:, None], start.outside[:, None], place)
        point = _on_plane(several, path, outer)
        length = (point - several.x).square().sum(dim=2)
        last = (length <= several.r.square()).sum(dim=1, keepdim=True)
        pair = torch.cat([last, last + 1], dim=1)
        place, growth = (
            torch.cat([old[:, :1], new, old[:, 1:]], dim=1).gather(1, pair)
            for old, new in ((places, place), (grown, _grown(length, least[:, None])))
        )
        point = torch.cat([points[:, :1], point, points[:, 1:]], dim=1)
        points = point.gather(1, pair[:, :, None].expand(-1, -1, point.shape[2]))
        places, grown = place, growth
        share = (goal - grown[:, 0]) / (grown[:, 1] - grown[:, 0]).clamp(min=TINY)
        guess = torch.lerp(places[:, 0], places[:, 1], share.clamp(0.0, 1.0))
    return where_length_is(p.r, p.x, points[:, 0], points[:, 1])


def _grown(squared: Tensor, least: Tensor) -> Tensor:
    return (squared - least).clamp(min=0.0).sqrt()


def _on_plane(p: Problem, path: type[Path], outer: Tensor) -> Tensor:
    """Return the points of the plane at outer multipliers (rows, values), (rows, values, pixels)."""
    gap = p.c - dot(p.b, path.point(p, outer, torch.zeros_like(outer)) - p.x)
    sign = sign_of(gap)
    toward = p.b * sign[..., None]
    starts, ends = path.stops(p, outer, toward)
    size, pixels = toward.abs().clamp(min=TINY), toward.shape[-1]
    stop = torch.cat([starts, ends], dim=-1).unflatten(-1, (-1, pixels))
    stop = (stop / size[..., None, :]).flatten(2)
    stop = stop.clamp(min=0.0)
    order = order_of(stop.flatten(0, 1)).view_as(stop)
    stop = stop.gather(2, order)
    # The slope up to each stop is added up from the far end, where few small pixels are left.
    weight, stretches = toward.square(), starts.shape[-1] // pixels
    weight = torch.cat([-weight] * stretches + [weight] * stretches, dim=-1)
    slope = weight.gather(2, order).flip(2).cumsum(dim=2).flip(2)
    risen = (torch.diff(stop, dim=2, prepend=torch.zeros_like(stop[:, :, :1])) * slope).cumsum(dim=2)
    height = gap.abs()
    first = first_true((risen >= height[..., None]).flatten(0, 1))
    stop, slope, risen = (pick(part.flatten(0, 1), first).view_as(gap) for part in (stop, slope, risen))
    lam = stop - (risen - height).clamp(min=0.0) / slope.clamp(min=TINY)
    return path.point(p, outer, sign * lam.clamp(min=0.0))


def where_length_is(r: Tensor, x: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Return the point of the segment `near` to `far` whose distance to `x` is `r` (near is closer)."""
    offset, along = near - x, far - near
    a, half, rest = dot(along, along), dot(along, offset), (r.square() - dot(offset, offset)).clamp(min=0)
    share = rest / (half + (half.square() + a * rest).clamp(min=0.0).sqrt()).clamp(min=TINY)
    return near + share.clamp(0.0, 1.0)[:, None] * along
