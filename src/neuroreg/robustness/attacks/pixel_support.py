"""Which pixels a Brendel-Bethge step in L0 lets differ from the clean image."""

import torch
from torch import Tensor

from neuroreg.robustness.attacks.boundary_paths import Problem, dot
from neuroreg.robustness.attacks.projections import TINY, first_true, order_of, pick, sign_of

# Multipliers tried: in units of the one that moves the steepest pixel by the radius, the last taking all
# pixels to the edge; around the best.
MULTIPLIERS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 1e12)
REFINEMENTS = (0.6, 1.6)
# Pixels of an order that are looked at first; all of them are where none of its prefixes will do.
SHORT = 64


def support_of(p: Problem) -> Tensor:
    """Return bool (rows, pixels), the pixels that may differ from `x0`.

    For a multiplier rho of the plane the Lagrangian of the problem orders the pixels by what it gains from
    letting each differ from `x0`. The shortest prefix of that order with which plane and radius can be met is
    a support; several multipliers give several, and the smallest is kept.
    """
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


def _shortest_prefix(p: Problem, longest: int) -> tuple[Tensor, Tensor]:
    """Return the shortest of all orders' prefixes of up to `longest` pixels that will do.

    Returns
    -------
    tuple
        bool (rows, pixels), what differs from `x0` already where there is none; bool (rows,), whether there
        is one.
    """
    sign = sign_of(p.c + dot(p.b, p.away))
    toward, height = p.b * sign[:, None], (p.c * sign)[:, None]
    back, limit = -p.away, p.r.square()[:, None]
    edge = torch.where(toward > 0, 1.0 - p.x, torch.where(toward < 0, -p.x, 0.0))
    rank = torch.arange(longest, device=p.x.device)
    scale = p.r.clamp(max=1.0) / toward.abs().amax(dim=1).clamp(min=TINY)
    fewest, least = torch.full_like(p.r, torch.inf), torch.full_like(p.r, torch.inf)
    best, chosen = scale, p.away != 0
    home, home_length = dot(toward, back)[:, None], dot(back, back)[:, None]
    # On the CPU one multiplier after the other, which keeps to its caches; elsewhere the first ones at once.
    first_ones = [[factor] for factor in MULTIPLIERS] if p.x.device.type == "cpu" else [MULTIPLIERS]
    for factors in [*first_ones, *([factor] for factor in REFINEMENTS)]:
        unit = best if factors[0] in REFINEMENTS else scale
        rho = torch.stack([factor * unit for factor in factors])
        line = rho[:, :, None] * toward
        there = torch.where(toward > 0, line.minimum(edge), line.maximum(edge))
        gain = 2 * line * (there - back) - (there.square() - back.square())
        order = order_of(-gain.flatten(0, 1)).view_as(gain)[:, :, :longest]
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
        first = first_true(fits.flatten(0, 1))
        spent = pick(needed.flatten(0, 1), first).view_as(rho)
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
