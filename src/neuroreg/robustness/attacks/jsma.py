"""The saliency map attack (JSMA; Papernot et al. 2016), batched over samples and target classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuroreg.robustness.attacks.foolbox_bridge import sample_uniform
from neuroreg.robustness.attacks.margins import adversarial_margin, class_margins, finite_logits


def run(
    variant: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    setting: Mapping,
    repetition: int,
    seeds: Tensor,
    starting_points: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the closest adversarials found and the forward passes per sample.

    At each step one pixel moves by theta: the one whose change, up or down, raises the target's probability
    most. On probabilities, which add up to 1, Papernot's saliency map (eq. 8, both signs) orders the pixels
    by just that. A pixel never turns back, and is left alone at the box's edge and after `per_pixel` changes.
    Any class other than the label ends a search, as in Foolbox 2.3. Of a sample's targets the one that took
    the fewest pixels is kept, of equals the one with the smallest L1; those that can no longer be it are
    given up.

    The first repetition is deterministic. In the others each pixel's saliency has a random factor of its own
    between 1 - jitter and 1 + jitter, the same at every step, so that pixels of like saliency come in another
    order.

    Parameters and returns as in `projected_gradient.run`; `setting` has theta, per_pixel, targets, steps,
    jitter; `variant` is ``"l0"``.

    Raises
    ------
    InputError
        If the model's logits are not finite.
    """
    targets = nearest_classes(model, x, labels, setting["targets"])
    factor = torch.ones_like(x)
    if repetition > 0:
        factor += setting["jitter"] * sample_uniform(x, seeds, "saliency", repetition)
    best, passes = _search(model, x, labels, targets, factor.flatten(1), setting)
    return best.view_as(x), 1 + passes.cpu()


def nearest_classes(model: nn.Module, x: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return int64 (B, count), the other classes by rising L1 to their boundary, were the model linear.

    Fewer than `count` where the model has fewer.
    """
    classes, margins, gradients = class_margins(model, x.flatten(1), labels, x.shape[1:])
    distance = -margins / gradients.abs().amax(dim=2)
    return classes.gather(1, distance.argsort(dim=1, stable=True)[:, :count])


@dataclass(frozen=True)
class _Rows:
    """Searches under way: sample * targets + rank, point (rows, pixels), changes made to each pixel."""

    index: Tensor
    point: Tensor
    changes: Tensor

    def kept(self, mask: Tensor) -> "_Rows":
        return _Rows(self.index[mask], self.point[mask], self.changes[mask])


def _search(
    model: nn.Module, x: Tensor, labels: Tensor, targets: Tensor, factor: Tensor, setting: Mapping
) -> tuple[Tensor, Tensor]:
    """Return the best points (B, pixels), NaN where none, and int64 (B,), forward passes."""
    x0, (samples, ranks) = x.flatten(1), targets.shape
    index = torch.arange(samples * ranks, device=x.device)
    rows = _Rows(index, x0[index // ranks], torch.zeros_like(x0, dtype=torch.int32)[index // ranks])
    found = torch.full_like(rows.point, torch.nan)
    costs = torch.full((samples, ranks), torch.inf, dtype=torch.float64, device=x.device)
    passes = torch.zeros_like(labels)
    for step in range(setting["steps"] + 1):
        sample = rows.index // ranks
        passes.index_add_(0, sample, torch.ones_like(sample))
        target = targets.flatten()[rows.index]
        margin, gradient = _ask(model, rows.point, labels[sample], target, x.shape)
        cost = _cost(rows.point - x0[sample])
        over = margin > 0
        found[rows.index[over]] = rows.point[over]
        costs.view(-1)[rows.index[over]] = cost[over]
        hopeful = ~over & (cost < costs.amin(dim=1)[sample])
        if step == setting["steps"] or not hopeful.any():
            break
        rows = _move(rows.kept(hopeful), x0[sample[hopeful]], (gradient * factor[sample])[hopeful], setting)
        if not len(rows.index):
            break
    best = costs.argmin(dim=1)
    return found.view(samples, ranks, -1)[torch.arange(samples, device=x.device), best], passes


def _ask(
    model: nn.Module, points: Tensor, labels: Tensor, targets: Tensor, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """Return each row's margin (rows,) and the gradient (rows, pixels) of the target's log-probability."""
    margins, gradients = [], []
    # As many rows at a time as there are samples, so that targets take no more memory.
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


def _move(rows: _Rows, x0: Tensor, saliency: Tensor, setting: Mapping) -> _Rows:
    """Return the rows with one pixel changed, without those where none can be."""
    away, free = rows.point - x0, rows.changes < setting["per_pixel"]
    up = free & (saliency > 0) & (away >= 0) & (rows.point < 1.0)
    down = free & (saliency < 0) & (away <= 0) & (rows.point > 0.0)
    largest, pixel = torch.where(up | down, saliency.abs(), 0.0).max(dim=1, keepdim=True)
    change = setting["theta"] * saliency.gather(1, pixel).sign()
    moved = (rows.point.gather(1, pixel) + change).clamp(0.0, 1.0)
    point = rows.point.scatter(1, pixel, moved)
    changes = rows.changes.scatter_add(1, pixel, torch.ones_like(pixel, dtype=torch.int32))
    return _Rows(rows.index, point, changes).kept(largest[:, 0] > 0)
