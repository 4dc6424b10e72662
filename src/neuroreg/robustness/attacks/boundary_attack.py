"""Brendel & Bethge's attacks (2019), batched: along the decision boundary towards the clean image."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuroreg.devices import Recorded
from neuroreg.robustness.attacks.boundary_step import Run, step_l0, step_l1, step_l2, step_linf
from neuroreg.robustness.attacks.closest_points import SIZES, ClosestPoints, Size
from neuroreg.robustness.attacks.rows import Rows, adversarial_margin

METHODS = {
    "brendel_bethge_l0": {
        "norm": "l0",
        "needs_starting_points": True,
        "settings": {
            "steps": (1000, 1, 100_000, "iterations along the boundary"),
            "radius": (0.16, 1e-6, 10.0, "first trust radius as a fraction of the pixel box's diagonal, 32"),
            "momentum": (0.8, 0.0, 0.999, "averaging of the boundary's normal over iterations"),
        },
    },
    "brendel_bethge_l1": {"like": "brendel_bethge_l0", "norm": "l1"},
    "brendel_bethge_l2": {"like": "brendel_bethge_l0", "norm": "l2"},
    "brendel_bethge_linf": {"like": "brendel_bethge_l0", "norm": "linf"},
}
# As in Foolbox: aim a tenth past the boundary, and halve the radius about twenty times, every so many steps.
# These are rounded down: below 40 steps each step halves it, and below 60 already the first one.
OVERSHOOT = 1.1
RADIUS_DECAY, RADIUS_DECAYS = 0.5, 20


@dataclass(frozen=True)
class Norm:
    """What depends on the norm; all functions take and return flat rows (rows, pixels).

    Attributes
    ----------
    size
        Difference from the clean image to norm (rows,).
    between
        (clean, start, share (rows, 1)) to a point between the two, the start itself at share 1.
    step
        The step along the boundary, see `boundary_step`.
    """

    size: Size
    between: Callable[[Tensor, Tensor, Tensor], Tensor]
    step: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Run], Tensor]


def _between_l1(x0: Tensor, start: Tensor, share: Tensor) -> Tensor:
    difference = start - x0
    kept = (difference.abs() - (1.0 - share)).clamp(min=0.0)
    return torch.where(kept > 0, x0 + difference.sign() * kept, x0)


VARIANTS = {
    "l0": Norm(
        lambda difference: (difference.abs() > 1e-4).sum(dim=1).to(difference.dtype),
        lambda x0, start, share: torch.where((start - x0).abs() <= share, start, x0),
        step_l0,
    ),
    "l1": Norm(SIZES["l1"], _between_l1, step_l1),
    "l2": Norm(
        SIZES["l2"],
        lambda x0, start, share: share * start + (1.0 - share) * x0,
        step_l2,
    ),
    "linf": Norm(
        SIZES["linf"],
        lambda x0, start, share: x0 + (start - x0).clamp(-share, share),
        step_linf,
    ),
}


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Bisect from the starting point to the boundary, then go along it.

    Deterministic given the starting points; repetitions differ by them. Each row has its own radius and goes
    its own way.
    """
    found, passes = torch.full_like(rows.x, torch.nan), torch.zeros(len(rows), dtype=torch.int64)
    there = torch.isfinite(rows.starting_points).flatten(1).all(dim=1).nonzero()[:, 0]
    if len(there):
        some, norm = rows.take(there), VARIANTS[variant]
        closest = ClosestPoints(variant, model, some, norm.size)
        follow(closest, norm, boundary_point(closest, norm, some.starting_points.flatten(1)), **some.setting)
        found[there], passes[there.cpu()] = closest.result()
    return found, passes


def boundary_point(closest: ClosestPoints, norm: Norm, start: Tensor) -> Tensor:
    """Return the adversarial point (rows, pixels) where bisection from clean to `start` ends."""

    def between(share: Tensor) -> Tensor:
        return norm.between(closest.x0, start, share)

    return between(closest.bisect(between))


def follow(
    closest: ClosestPoints, norm: Norm, point: Tensor, *, steps: int, radius: Tensor, momentum: Tensor
) -> None:
    """Take `steps` steps along the boundary from `point` (rows, pixels); `closest` sees all of them.

    `radius` (rows,) is the first one, as a fraction of the box's diagonal; `momentum` (rows,).
    """
    radius, momentum = radius * closest.x0.shape[1] ** 0.5, momentum[:, None]
    interval = max(1, steps // RADIUS_DECAYS)
    normal, run_step = None, Recorded()
    for step in range(1, steps + 1):
        point = point.detach().requires_grad_(True)
        margin = adversarial_margin(closest.logits(point), closest.labels)
        gradient = torch.autograd.grad(margin.sum(), point)[0]
        margin, point = margin.detach(), point.detach()
        normal = gradient if normal is None else (1 - momentum) * gradient + momentum * normal
        if (step + 1) % interval == 0:
            radius = radius * RADIUS_DECAY
        distance = torch.where(margin < 0, -OVERSHOOT * margin, -(2.0 - OVERSHOOT) * margin)
        point = norm.step(point, closest.x0, normal, distance, radius, run_step)
    closest.margin(point)
