"""Brendel & Bethge's attacks (2019), batched: along the decision boundary towards the clean image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.boundary_step import step_l0, step_l1, step_l2, step_linf
from neuroreg.robustness.attacks.rows import adversarial_margin
from neuroreg.seeds import derive_seed


def choose_starting_points(
    logits: np.ndarray, pool_labels: np.ndarray, labels: np.ndarray, seeds: np.ndarray, repetition: int
) -> np.ndarray:
    """Return for each sample the pool image that its search starts from.

    Each sample has its own random order of the pool (the same for every model); repetition k starts at the
    k-th image of another class that the model also takes for another class, by more than 1e-3 in the logits.

    Parameters
    ----------
    logits
        float (P, classes) of the pool.
    pool_labels
        int (P,).
    labels
        int (S,), the samples' labels.
    seeds
        int (S,), one per sample.
    repetition
        From 0; begins anew when the images are used up.

    Returns
    -------
    ndarray
        int64 (S,), positions in the pool; -1 where no image will do.
    """
    chosen = np.full(len(labels), -1, dtype=np.int64)
    for row, (label, seed) in enumerate(zip(labels, seeds, strict=True)):
        others = np.delete(logits, label, axis=1).max(axis=1)
        eligible = (pool_labels != label) & (others - logits[:, label] > 1e-3)
        order = np.random.default_rng(derive_seed(int(seed), "starting points")).permutation(len(pool_labels))
        order = order[eligible[order]]
        if len(order):
            chosen[row] = order[repetition % len(order)]
    return chosen


# As in Foolbox: aim a tenth past the boundary, halve the radius twenty times, bisect ten times.
OVERSHOOT = 1.1
RADIUS_DECAY, RADIUS_DECAYS = 0.5, 20
BISECTIONS = 10


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

    size: Callable[[Tensor], Tensor]
    between: Callable[[Tensor, Tensor, Tensor], Tensor]
    step: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


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
    "l1": Norm(lambda difference: difference.abs().sum(dim=1), _between_l1, step_l1),
    "l2": Norm(
        lambda difference: difference.norm(dim=1),
        lambda x0, start, share: share * start + (1.0 - share) * x0,
        step_l2,
    ),
    "linf": Norm(
        lambda difference: difference.abs().amax(dim=1),
        lambda x0, start, share: x0 + (start - x0).clamp(-share, share),
        step_linf,
    ),
}


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

    Deterministic given `starting_points`; repetitions differ by them. Each row has its own radius and goes
    its own way, so that the others do not matter.

    Parameters
    ----------
    variant
        The norm: ``"l0"``, ``"l1"``, ``"l2"`` or ``"linf"``.
    model
        In eval mode, parameters frozen, on the device of `x`.
    x
        float32 (rows, 1, H, W) in [0, 1].
    labels
        int64 (rows,).
    setting
        steps: int; radius, the first one as a fraction of the box's diagonal, and momentum: float32 (rows,).
    repetition, seeds
        Not used.
    starting_points
        float32 (rows, 1, H, W), images that the model takes for another class than the label, NaN for a row
        that has none.

    Returns
    -------
    tuple
        float32 (rows, 1, H, W), NaN where nothing was found; int64 (rows,).
    """
    norm = VARIANTS[variant]
    found, queries = torch.full_like(x, torch.nan), torch.zeros(len(x), dtype=torch.int64)
    rows = torch.isfinite(starting_points).flatten(1).all(dim=1).nonzero()[:, 0]
    if len(rows):
        search = _Search(norm, model, x[rows], labels[rows])
        search.follow(
            search.boundary_point(starting_points[rows].flatten(1)),
            steps=setting["steps"],
            radius=setting["radius"][rows] * x[0].numel() ** 0.5,
            momentum=setting["momentum"][rows],
        )
        found[rows] = search.best.view_as(x[rows])
        queries[rows.cpu()] = search.passes
    return found, queries


class _Search:
    """The closest adversarials so far of some rows, and the forward passes that they took."""

    def __init__(self, norm: Norm, model: nn.Module, x: Tensor, labels: Tensor) -> None:
        self.norm, self.model, self.shape, self.labels = norm, model, x.shape, labels
        self.x0 = x.flatten(1)
        self.best = torch.full_like(self.x0, torch.nan)
        self.smallest = torch.full_like(self.x0[:, 0], torch.inf)
        self.passes = 0

    def boundary_point(self, start: Tensor) -> Tensor:
        """Return the adversarial point (rows, pixels) where bisection from clean to `start` ends."""
        low, high = torch.zeros_like(start[:, :1]), torch.ones_like(start[:, :1])
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            point = self.norm.between(self.x0, start, middle)
            adversarial = self.record(point, self.margin(point)[0])[:, None]
            low, high = torch.where(adversarial, low, middle), torch.where(adversarial, middle, high)
        return self.norm.between(self.x0, start, high)

    def follow(self, point: Tensor, *, steps: int, radius: Tensor, momentum: Tensor) -> None:
        """Take `steps` steps along the boundary from `point` (rows, pixels); the others (rows,)."""
        momentum = momentum[:, None]
        interval = max(1, steps // RADIUS_DECAYS)
        normal = None
        for step in range(1, steps + 1):
            margin, gradient = self.margin(point, differentiate=True)
            self.record(point, margin)
            normal = gradient if normal is None else (1 - momentum) * gradient + momentum * normal
            if (step + 1) % interval == 0:
                radius = radius * RADIUS_DECAY
            distance = torch.where(margin < 0, -OVERSHOOT * margin, -(2.0 - OVERSHOOT) * margin)
            point = self.norm.step(point, self.x0, normal, distance, radius)
        self.record(point, self.margin(point)[0])

    def margin(self, point: Tensor, differentiate: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return how far `point` is across the boundary (rows,), and the gradient (rows, pixels)."""
        self.passes += 1
        with torch.set_grad_enabled(differentiate):
            point = point.detach().requires_grad_(differentiate)
            margin = adversarial_margin(self.model(point.view(self.shape)), self.labels)
        gradient = torch.autograd.grad(margin.sum(), point)[0] if differentiate else None
        return margin.detach(), gradient

    def record(self, point: Tensor, margin: Tensor) -> Tensor:
        """Keep the adversarial points that are closer than what there is; return which are adversarial."""
        adversarial = margin > 0
        size = self.norm.size(point - self.x0)
        closer = adversarial & (size < self.smallest)
        self.smallest = torch.where(closer, size, self.smallest)
        self.best = torch.where(closer[:, None], point, self.best)
        return adversarial
