"""The saliency map attack (JSMA; Papernot et al. 2016), on rows and their target classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuroreg.robustness.attacks.closest_points import linear_distances
from neuroreg.robustness.attacks.rows import (
    Rows,
    adversarial_margin,
    but_first,
    class_margins,
    sample_uniform,
    to_images,
)

METHODS = {
    "jsma": {
        "norm": "l0",
        "settings": {
            "theta": (0.1, 1e-6, 1.0, "change of a pixel at one step"),
            "per_pixel": (7, 1, 100_000, "changes of one pixel at most"),
            "targets": (9, 1, 1_000, "classes tried as targets, the nearest by gradient first"),
            "steps": (2000, 1, 100_000, "steps at most"),
            "jitter": (
                0.1,
                0.0,
                1.0,
                "half range of the saliencies' random factors, from the second repetition on",
            ),
        },
    },
}


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Move one pixel by theta at each step: the one whose change raises the target's probability most.

    It moves up or down. On probabilities, which add up to 1, Papernot's saliency map (eq. 8, both signs)
    orders the pixels by just that. A pixel never turns back, and is left alone at the box's edge and after
    `per_pixel` changes. Any class other than the label ends a search, as in Foolbox 2.3. Of a row's targets
    two are kept: the one that took the fewest pixels, of equals the one with the smallest L1; and the one
    with the smallest L1, where it is another. Those that can no longer be either are given up.

    The first repetition is deterministic. In the others each pixel's saliency has a random factor of its own
    between 1 - jitter and 1 + jitter, the same at every step, so that pixels of like saliency come in another
    order.
    """
    x, setting = rows.x, rows.setting
    classes, margins, gradients, logits = class_margins(model, x.flatten(1), rows.labels, rows.shape)
    order = linear_distances("l1", margins, gradients)[1][:, : setting["targets"]]
    # The first step's saliencies follow from these gradients, of logits less the label's, which cancels.
    likely = torch.einsum("rk,rkp->rp", logits.softmax(dim=1).gather(1, classes), gradients)
    first = torch.take_along_dim(gradients, order[..., None], dim=1) - likely[:, None]
    jitter = to_images(setting["jitter"]) * but_first(rows, sample_uniform(rows, "saliency"))
    targets, factor = classes.gather(1, order), (1.0 + jitter).flatten(1)
    answers = adversarial_margin(logits, rows.labels), first
    best, passes = _search(model, x, rows.labels, targets, answers, factor, setting)
    return best.view(len(x), 2, *rows.shape), 1 + margins.shape[1] + passes.cpu()


@dataclass(frozen=True)
class _Searches:
    """Searches under way, one per row and target: which, its point, and the changes made to each pixel."""

    index: Tensor
    point: Tensor
    changes: Tensor

    def kept(self, mask: Tensor) -> "_Searches":
        return _Searches(self.index[mask], self.point[mask], self.changes[mask])


def _search(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    targets: Tensor,
    answers: tuple[Tensor, Tensor],
    factor: Tensor,
    setting: Mapping,
) -> tuple[Tensor, Tensor]:
    """Return the best points (rows, 2, pixels), NaN where none, and int64 (rows,), passes.

    `answers` are the images' margins (rows,) and the gradients (rows, targets, pixels) of the targets'
    log-probabilities there.
    """
    x0, (rows, ranks), theta = x.flatten(1), targets.shape, setting["theta"]
    index = torch.arange(rows * ranks, device=x.device)
    changes = torch.zeros_like(x0, dtype=torch.int32)
    searches = _Searches(index, x0[index // ranks], changes[index // ranks])
    found = torch.full_like(searches.point, torch.nan)
    costs = torch.full((rows, ranks, 2), torch.inf, dtype=torch.float64, device=x.device)
    passes = torch.zeros_like(labels)
    margin, gradient = answers[0].repeat_interleave(ranks), answers[1].flatten(0, 1)
    for step in range(setting["steps"] + 1):
        row = searches.index // ranks
        if step:
            passes.index_add_(0, row, torch.full_like(row, 2))
            target = targets.flatten()[searches.index]
            margin, gradient = _ask(model, searches.point, labels[row], target, x.shape)
        cost = _costs(searches.point - x0[row])
        over = margin > 0
        found[searches.index[over]] = searches.point[over]
        costs.view(-1, 2)[searches.index[over]] = cost[over]
        hopeful = ~over & (cost < costs.amin(dim=1)[row]).any(dim=1)
        if step == setting["steps"] or not hopeful.any():
            break
        saliency, row = (gradient * factor[row])[hopeful], row[hopeful]
        searches = _move(searches.kept(hopeful), x0[row], saliency, theta[row], setting["per_pixel"])
        if not len(searches.index):
            break
    best = costs.argmin(dim=1)
    kept = found.view(rows, ranks, -1)[torch.arange(rows, device=x.device)[:, None], best]
    # What is no shorter, or by rounding only, need not be verified.
    first, shortest = costs[..., 1].gather(1, best).unbind(1)
    kept[first <= shortest * (1 + 1e-6), 1] = torch.nan
    return kept, passes


def _ask(
    model: nn.Module, points: Tensor, labels: Tensor, targets: Tensor, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """Return each point's margin and the gradient (points, pixels) of its target's log-probability."""
    margins, gradients = [], []
    # As many at a time as there are rows, so that targets take no more memory.
    for part in torch.arange(len(points), device=points.device).split(shape[0]):
        point = points[part].requires_grad_(True)
        logits = model(point.view(-1, *shape[1:]))
        wanted = F.log_softmax(logits, dim=1).gather(1, targets[part, None])
        gradients.append(torch.autograd.grad(wanted.sum(), point)[0])
        margins.append(adversarial_margin(logits.detach(), labels[part]))
    return torch.cat(margins), torch.cat(gradients)


def _costs(difference: Tensor) -> Tensor:
    """Return float64 (rows, 2): what orders by changed pixels, then by L1; and L1."""
    size = difference.double().abs()
    l1 = size.sum(dim=1)
    return torch.stack([(size > 0).sum(dim=1) + l1 / (size.shape[1] + 1), l1], dim=1)


def _move(searches: _Searches, x0: Tensor, saliency: Tensor, theta: Tensor, per_pixel: int) -> _Searches:
    """Return the searches with one pixel changed, without those where none can be."""
    point, changes = searches.point, searches.changes
    away, free = point - x0, changes < per_pixel
    up = free & (saliency > 0) & (away >= 0) & (point < 1.0)
    down = free & (saliency < 0) & (away <= 0) & (point > 0.0)
    largest, pixel = torch.where(up | down, saliency.abs(), 0.0).max(dim=1, keepdim=True)
    change = theta[:, None] * saliency.gather(1, pixel).sign()
    moved = (point.gather(1, pixel) + change).clamp(0.0, 1.0)
    point = point.scatter(1, pixel, moved)
    changes = changes.scatter_add(1, pixel, torch.ones_like(pixel, dtype=torch.int32))
    return _Searches(searches.index, point, changes).kept(largest[:, 0] > 0)
