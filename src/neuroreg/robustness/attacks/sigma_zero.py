"""sigma-zero (Cina et al. 2025), batched over rows: a smooth stand-in for L0, and a threshold that adapts."""

import math

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import ClosestPoints
from neuroreg.robustness.attacks.rows import Adam, Rows, adversarial_margin, start_noise

METHODS = {
    "sigma_zero": {
        "norm": "l0",
        "settings": {
            "steps": (1000, 1, 100_000, "iterations"),
            "stepsize": (1.0, 1e-6, 10.0, "Adam's first step size; falls to a tenth"),
            "sigma": (1e-3, 1e-12, 1e3, "smoothness of the stand-in for L0"),
            "threshold": (0.3, 0.0, 1.0, "changes below it are undone, at first"),
            "threshold_rate": (0.01, 0.0, 1.0, "its change at each iteration, in step sizes"),
            "start_noise": (0.5, 0.0, 10.0, "std of the start, from the second repetition on"),
        },
    },
}

# The step size falls along a cosine to this share of the first.
LAST_SHARE = 0.1


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Descend the margin and a smooth stand-in for L0, small changes being undone at each step.

    Algorithm 1 of Cina et al., "sigma-zero: Gradient-based Optimization of l0-norm Adversarial Examples"
    (ICLR 2025, arXiv 2402.01879). The loss is how far the label's logit is above the largest other one (0
    beyond the boundary) plus the mean over pixels of d^2 / (d^2 + sigma), d being the perturbation. Its
    gradient is scaled to a largest entry of 1; Adam's step and the box [0, 1] follow; then the perturbations
    below a threshold are set to 0. The threshold rises where the point is adversarial and falls elsewhere.

    The first repetition starts from the image, as published; the others with Gaussian noise on it.
    """
    setting, closest = rows.setting, ClosestPoints(variant, model, rows)
    x0, steps = closest.x0, setting["steps"]
    first, sigma = setting["stepsize"][:, None], setting["sigma"][:, None]
    threshold, rate = setting["threshold"][:, None], setting["threshold_rate"][:, None]
    noise = setting["start_noise"][:, None] * start_noise(rows).flatten(1)
    change = (x0 + noise).clamp(0.0, 1.0) - x0
    adam, stepsize = Adam(x0, torch.ones_like(first)), first
    for step in range(1, steps + 1):
        point = (x0 + change).requires_grad_(True)
        margin = adversarial_margin(closest.logits(point), rows.labels)
        gradient = torch.autograd.grad((-margin).clamp(min=0.0).sum(), point)[0]
        gradient = gradient + 2 * sigma * change / (change.square() + sigma).square() / x0.shape[1]
        gradient = gradient / gradient.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        change = change - stepsize * adam.step(gradient)
        change = (x0 + change).clamp(0.0, 1.0) - x0
        cosine = (1 + math.cos(math.pi * step / steps)) / 2
        stepsize = first * (LAST_SHARE + (1 - LAST_SHARE) * cosine)
        over = (margin.detach() > 0)[:, None]
        threshold = (threshold + torch.where(over, rate, -rate) * stepsize).clamp(0.0, 1.0)
        change = torch.where(change.abs() < threshold, 0.0, change)
    closest.margin(x0 + change)
    return closest.result()
