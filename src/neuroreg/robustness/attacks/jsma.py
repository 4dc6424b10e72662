"""The saliency map attack (JSMA; Papernot et al. 2016), on rows and their target classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuroreg.robustness.attacks.rows import (
    adversarial_margin,
    class_margins,
    finite_logits,
    sample_uniform,
    to_images,
)


def run(
    variant: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    setting: Mapping,
    repetition: Tensor,
    seeds: Tensor,
    starting_points: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the closest adversarials found and the forward passes of each row.

    At each step one pixel moves by theta: the one whose change, up or down, raises the target's probability
    most. On probabilities, which add up to 1, Papernot's saliency map (eq. 8, both signs) orders the pixels
    by just that. A pixel never turns back, and is left alone at the box's edge and after `per_pixel` changes.
    Any class other than the label ends a search, as in Foolbox 2.3. Of a row's targets the one that took
    the fewest pixels is kept, of equals the one with the smallest L1; those that can no longer be it are
    given up.

    The first repetition is deterministic. In the others each pixel's saliency has a random factor of its own
    between 1 - jitter and 1 + jitter, the same at every step, so that pixels of like saliency come in another
    order.

    Parameters and returns as in `projected_gradient.run`; `setting` has per_pixel, targets, steps (int),
    theta, jitter (float32 (rows,)); `variant` is ``"l0"``.

    Raises
    ------
    InputError
        If the model's logits are not finite.
    """
    targets = nearest_classes(model, x, labels, setting["targets"])
    jitter = to_images(setting["jitter"]) * sample_uniform(x, seeds, "saliency", repetition)
    factor = 1.0 + torch.where(to_images(repetition > 0), jitter, 0.0)
    best, passes = _search(model, x, labels, targets, factor.flatten(1), setting)
    return best.view_as(x), 1 + passes.cpu()


def nearest_classes(model: nn.Module, x: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return int64 (rows, count), the other classes by rising L1 to their boundary, were the model linear.

    Fewer than `count` where the model has fewer.
    """
    classes, margins, gradients = class_margins(model, x.flatten(1), labels, x.shape[1:])
    distance = -margins / gradients.abs().amax(dim=2)
    return classes.gather(1, distance.argsort(dim=1, stable=True)[:, :count])


@dataclass(frozen=True)
class _Searches:
    """Searches under way, one per row and target: which, its point, and the changes made to each pixel."""

    index: Tensor
    point: Tensor
    changes: Tensor

    def kept(self, mask: Tensor) -> "_Searches":
        return _Searches(self.index[mask], self.point[mask], self.changes[mask])


def _search(
    model: nn.Module, x: Tensor, labels: Tensor, targets: Tensor, factor: Tensor, setting: Mapping
) -> tuple[Tensor, Tensor]:
    """Return the best points (rows, pixels), NaN where none, and int64 (rows,), forward passes."""
    x0, (rows, ranks), theta = x.flatten(1), targets.shape, setting["theta"]
    index = torch.arange(rows * ranks, device=x.device)
    changes = torch.zeros_like(x0, dtype=torch.int32)
    searches = _Searches(index, x0[index // ranks], changes[index // ranks])
    found = torch.full_like(searches.point, torch.nan)
    costs = torch.full((rows, ranks), torch.inf, dtype=torch.float64, device=x.device)
    passes = torch.zeros_like(labels)
    for step in range(setting["steps"] + 1):
        row = searches.index // ranks
        passes.index_add_(0, row, torch.ones_like(row))
        target = targets.flatten()[searches.index]
        margin, gradient = _ask(model, searches.point, labels[row], target, x.shape)
        cost = _cost(searches.point - x0[row])
        over = margin > 0
        found[searches.index[over]] = searches.point[over]
        costs.view(-1)[searches.index[over]] = cost[over]
        hopeful = ~over & (cost < costs.amin(dim=1)[row])
        if step == setting["steps"] or not hopeful.any():
            break
        saliency, row = (gradient * factor[row])[hopeful], row[hopeful]
        searches = _move(searches.kept(hopeful), x0[row], saliency, theta[row], setting["per_pixel"])
        if not len(searches.index):
            break
    best = costs.argmin(dim=1)
    return found.view(rows, ranks, -1)[torch.arange(rows, device=x.device), best], passes


def _ask(
    model: nn.Module, points: Tensor, labels: Tensor, targets: Tensor, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """Return each point's margin and the gradient (points, pixels) of its target's log-probability."""
    margins, gradients = [], []
    # As many at a time as there are rows, so that targets take no more memory.
    for part in torch.arange(len(points), device=points.device).split(shape[0]):
        point = points[part].requires_grad_(True)
        logits = finite_logits(model, point, shape[1:])
        wanted = F.log_softmax(logits, dim=1).gather(1, targets[part, None])
        gradients.append(torch.autograd.grad(wanted.sum(), point)[0])
        margins.append(adversarial_margin(logits.detach(), labels[part]))
    return torch.cat(margins), torch.cat(gradients)


def _cost(difference: Tensor) -> Tensor:
    """Return float64 (rows,) that orders by changed pixels, then by L1."""
    size = difference.double().abs()
    return (size > 0).sum(dim=1) + size.sum(dim=1) / (size.shape[1] + 1)


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
