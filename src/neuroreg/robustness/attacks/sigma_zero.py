"""sigma-zero (Cina et al. 2025), batched over rows: a smooth stand-in for L0, and a threshold that adapts."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import ClosestPoints, start_noise
from neuroreg.robustness.attacks.rows import Adam, adversarial_margin

# The step size falls along a cosine to this share of the first.
LAST_SHARE = 0.1


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
    """Return the closest adversarials found and the forward passes per row.

    Algorithm 1 of Cina et al., "sigma-zero: Gradient-based Optimization of l0-norm Adversarial Examples"
    (ICLR 2025, arXiv 2402.01879). The loss is how far the label's logit is above the largest other one (0
    beyond the boundary) plus the mean over pixels of d^2 / (d^2 + sigma), d being the perturbation. Its
    gradient is scaled to a largest entry of 1; Adam's step and the box [0, 1] follow; then the perturbations
    below a threshold are set to 0. The threshold rises where the point is adversarial and falls elsewhere.

    The first repetition starts from the image, as published; the others with Gaussian noise on it.

    Parameters and returns as in `projected_gradient.run`; `setting` has steps, stepsize, sigma, threshold,
    threshold_rate, start_noise; `variant` is ``"l0"``.
    """
    closest = ClosestPoints(variant, model, x, labels)
    x0, steps = closest.x0, setting["steps"]
    first, sigma = setting["stepsize"][:, None], setting["sigma"][:, None]
    threshold, rate = setting["threshold"][:, None], setting["threshold_rate"][:, None]
    noise = setting["start_noise"][:, None] * start_noise(x, seeds, repetition)
    change = (x0 + noise).clamp(0.0, 1.0) - x0
    adam, stepsize = Adam(x0, torch.ones_like(first)), first
    for step in range(1, steps + 1):
        point = (x0 + change).requires_grad_(True)
        margin = adversarial_margin(closest.logits(point), labels)
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
    with torch.no_grad():
        closest.logits(x0 + change)
    return closest.best.view_as(x), closest.passes.cpu()
