"""Rows of a batch: each a sample with a setting of its own."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuroreg.robustness.evaluation import require_finite
from neuroreg.robustness.verification import MARGIN
from neuroreg.seeds import derive_seed


def sample_normal(like: Tensor, seeds: Tensor, purpose: str, repetition: Tensor) -> Tensor:
    """Return standard normals of one row each.

    Parameters
    ----------
    like
        (rows, ...), of the shape, type and device wanted.
    seeds
        int64 (rows,).
    purpose
        Keeps the draws of one attack apart.
    repetition
        int64 (rows,). Row i depends on ``seeds[i]``, `purpose` and ``repetition[i]`` alone.
    """
    return _per_row(torch.randn, like, seeds, purpose, repetition)


def sample_uniform(like: Tensor, seeds: Tensor, purpose: str, repetition: Tensor) -> Tensor:
    """Return uniforms in [-1, 1); parameters as in `sample_normal`."""
    return 2.0 * _per_row(torch.rand, like, seeds, purpose, repetition) - 1.0


def _per_row(draw: Callable, like: Tensor, seeds: Tensor, purpose: str, repetition: Tensor) -> Tensor:
    rows = []
    for seed, number in zip(seeds.tolist(), repetition.tolist(), strict=True):
        generator = torch.Generator().manual_seed(derive_seed(seed, purpose, number))
        rows.append(draw(like.shape[1:], generator=generator, dtype=like.dtype))
    return torch.stack(rows).to(like.device)


def adversarial_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the largest other logit (rows, classes) less the label's, (rows,): above 0 where adversarial.

    A little more is taken off, so that what counts as adversarial here holds when it is verified.
    """
    own = logits.gather(1, labels[:, None])[:, 0]
    margin = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1) - own
    return margin - 2 * MARGIN * logits.detach().abs().amax(dim=1).clamp_min(1.0)


def finite_logits(model: nn.Module, points: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the logits (rows, classes) of flat `points` (rows, pixels), images of `shape` (1, H, W).

    Raises
    ------
    InputError
        If a logit is not finite.
    """
    logits = model(points.view(-1, *shape))
    require_finite(logits.detach())
    return logits


def loss_gradient(model: nn.Module, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits (rows, classes) of images (rows, 1, H, W) and the cross-entropy's gradient there."""
    points = points.detach().requires_grad_(True)
    logits = model(points)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), points)
    return logits.detach(), gradient


def class_margins(
    model: nn.Module, points: Tensor, labels: Tensor, shape: Sequence[int], most: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the likeliest other classes, their logits less the label's, and the gradients of these.

    Parameters
    ----------
    model
        In eval mode, parameters frozen.
    points
        float32 (rows, pixels).
    labels
        int64 (rows,).
    shape
        Of one input, (1, H, W).
    most
        How many classes; all others if None or where there are fewer.

    Returns
    -------
    tuple
        int64 (rows, K), by falling logits; float32 (rows, K); float32 (rows, K, pixels).

    Raises
    ------
    InputError
        If a logit is not finite.
    """
    points = points.detach().requires_grad_(True)
    logits = finite_logits(model, points, shape)
    own = labels[:, None]
    others = logits.detach().scatter(1, own, -torch.inf)
    classes = others.argsort(dim=1, descending=True, stable=True)[:, : logits.shape[1] - 1][:, :most]
    margins = logits.gather(1, classes) - logits.gather(1, own)
    last = classes.shape[1] - 1
    # One backward pass per rank: rows do not mix, so that a sum over them differentiates all at once.
    gradients = [
        torch.autograd.grad(margins[:, rank].sum(), points, retain_graph=rank < last)[0]
        for rank in range(last + 1)
    ]
    return classes, margins.detach(), torch.stack(gradients, dim=1)


BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Turns gradients (rows, ...) into steps; rows do not mix.

    Parameters
    ----------
    like
        What is optimised, (rows, ...).
    stepsize
        float (rows, 1, ...).
    """

    def __init__(self, like: Tensor, stepsize: Tensor) -> None:
        self.stepsize, self.time = stepsize, 0
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)

    def step(self, gradient: Tensor) -> Tensor:
        """Return what to add when climbing along `gradient`, or to take off when descending."""
        self.time += 1
        self.mean = BETA1 * self.mean + (1 - BETA1) * gradient
        self.square = BETA2 * self.square + (1 - BETA2) * gradient.square()
        mean, square = self.mean / (1 - BETA1**self.time), self.square / (1 - BETA2**self.time)
        return self.stepsize * mean / (square.sqrt() + EPSILON)


def setting_of_rows(settings: Sequence[Mapping], index: Tensor, like: Tensor) -> dict[str, int | Tensor]:
    """Return one setting for all rows, its numbers one per row.

    Parameters
    ----------
    settings
        Complete settings of one method.
    index
        int64 (rows,), which of them each row has; whole numbers are the same for all rows.
    like
        The rows' images, for type and device.

    Returns
    -------
    dict
        Whole numbers as they are; other numbers as tensors (rows,).
    """
    index = index.to(like.device)
    return {
        name: value
        if isinstance(value, int)
        else torch.tensor([each[name] for each in settings], dtype=like.dtype, device=like.device)[index]
        for name, value in settings[int(index[0])].items()
    }


def to_images(values: Tensor) -> Tensor:
    """Return (rows,) as (rows, 1, 1, 1), to go with images."""
    return values.view(-1, 1, 1, 1)
