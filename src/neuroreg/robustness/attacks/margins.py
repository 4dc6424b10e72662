"""How far inputs are across a decision boundary, and along which gradients; each row by itself."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuroreg.robustness.evaluation import require_finite
from neuroreg.robustness.verification import MARGIN


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
