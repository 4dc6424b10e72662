"""SparseFool (Modas et al. 2019) on rows."""

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.projections import nearest_in_l1
from neuroreg.robustness.attacks.rows import (
    Rows,
    adversarial_margin,
    class_margins,
    start_noise,
)

METHODS = {
    "sparsefool": {
        "norm": "l1",
        "settings": {
            "steps": (30, 1, 100_000, "boundary planes at most"),
            "lambda": (1.0, 1.0, 100.0, "how many times as far away the plane is taken to be"),
            "start_noise": (
                0.01,
                0.0,
                10.0,
                "std of the first DeepFool's start, from the second repetition on",
            ),
        },
    },
}

# As in the authors' code: how far past the boundary; DeepFool's steps, its smallest one, and how many other
# classes it looks at.
OVERSHOOT = 1.02
DEEPFOOL_STEPS = 50
SMALLEST_STEP = 1e-4
CLASSES = 9


def run(variant: str, model: nn.Module, batch: Rows) -> tuple[Tensor, Tensor]:
    """Go to planes for boundaries, along as few pixels as possible (Algorithms 1 and 2).

    Each step takes the boundary for the plane that DeepFool finds, moved away by the factor lambda, and goes
    to the point of that plane and of the box that is nearest in L1. The sample is done when the way there and
    2 % further is adversarial; it is given up where DeepFool finds no boundary.

    The first repetition is deterministic. In the others the first DeepFool starts at the image plus Gaussian
    noise, so that another plane is found; the noise itself is no part of the perturbation.
    """
    x, labels, setting, shape = batch.x, batch.labels, batch.setting, batch.shape
    x0 = x.flatten(1)
    found, passes = torch.full_like(x0, torch.nan), torch.zeros_like(labels)
    start = (x0 + setting["start_noise"][:, None] * start_noise(batch).flatten(1)).clamp(0.0, 1.0)
    point = x0
    rows = torch.arange(len(x), device=x.device)
    for _ in range(setting["steps"]):
        boundary, normal, spent = deepfool(model, start, labels[rows], shape)
        passes[rows] += spent
        there = torch.isfinite(boundary).all(dim=1)
        rows, point, boundary, normal = rows[there], point[there], boundary[there], normal[there]
        if not len(rows):
            break
        b = normal.double()
        # The plane lies ahead; where a bent boundary puts it behind, as far ahead.
        gap = setting["lambda"][rows] * torch.linalg.vecdot(b, (boundary - point).double()).abs()
        point = nearest_in_l1(point.double(), b, gap).to(x.dtype)
        candidate = (x0[rows] + OVERSHOOT * (point - x0[rows])).clamp(0.0, 1.0)
        passes[rows] += 1
        with torch.no_grad():
            margin = adversarial_margin(model(candidate.view(-1, *shape)), labels[rows])
        over = margin > 0
        found[rows[over]] = candidate[over]
        rows, point = rows[~over], point[~over]
        if not len(rows):
            break
        start = point
    return found.view_as(x), passes.cpu()


def deepfool(
    model: nn.Module, start: Tensor, labels: Tensor, shape: torch.Size
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a point of the nearest boundary around `start`, the normal there, and the passes.

    The L2 attack of Moosavi-Dezfooli et al. (2016), without a box: each step goes to the nearest boundary of
    the linearised model, until 2 % further another class wins.

    Parameters
    ----------
    model
        In eval mode, parameters frozen.
    start
        float32 (rows, pixels).
    labels
        int64 (rows,).
    shape
        Of one input, (1, H, W).

    Returns
    -------
    tuple
        float32 (rows, pixels), NaN where no boundary was found; float32 (rows, pixels), the gradient of the
        winning class's logit less the label's; int64 (rows,).
    """
    boundary, normal = torch.full_like(start, torch.nan), torch.zeros_like(start)
    passes = torch.zeros_like(labels)
    rows, point = torch.arange(len(start), device=start.device), start
    for _ in range(DEEPFOOL_STEPS):
        _, margins, gradients, _ = class_margins(model, point, labels[rows], shape, CLASSES)
        passes[rows] += 1 + margins.shape[1]
        lengths = gradients.norm(dim=2)
        distance, nearest = torch.where(lengths > 0, margins.abs() / lengths, torch.inf).min(dim=1)
        sloping = torch.isfinite(distance)
        if not sloping.any():
            break
        # No further at a time than the box is wide: where the model is nearly flat the plane is far away.
        step = (distance.clamp(SMALLEST_STEP, start.shape[1] ** 0.5) / _pick(lengths, nearest))[:, None]
        point = (point + step * _pick(gradients, nearest))[sloping]
        rows = rows[sloping]
        passes[rows] += 1
        with torch.no_grad():
            further = start[rows] + OVERSHOOT * (point - start[rows])
            logits = model(further.view(-1, *shape))
        winner = logits.argmax(dim=1)
        over = winner != labels[rows]
        if over.any():
            done = rows[over]
            boundary[done] = point[over]
            normal[done] = _normal(model, point[over], labels[done], winner[over], shape)
            passes[done] += 2
        rows, point = rows[~over], point[~over]
        if not len(rows):
            break
    return boundary, normal, passes


def _normal(model: nn.Module, point: Tensor, labels: Tensor, winner: Tensor, shape: torch.Size) -> Tensor:
    point = point.detach().requires_grad_(True)
    logits = model(point.view(-1, *shape))
    margin = logits.gather(1, winner[:, None]) - logits.gather(1, labels[:, None])
    return torch.autograd.grad(margin.sum(), point)[0]


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values[torch.arange(len(index), device=index.device), index]
