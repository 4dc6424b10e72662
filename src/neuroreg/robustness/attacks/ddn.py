"""Decoupling direction and norm (DDN; Rony et al. 2019) on rows, nothing quantised."""

from math import cos, pi

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import Closest, drawn_in
from neuroreg.robustness.attacks.rows import Rows, cross_entropy_direction, sample_normal, to_images

METHODS = {
    "ddn": {
        "norm": "l2",
        "settings": {
            "steps": (100, 2, 100_000, "iterations"),
            "gamma": (0.05, 1e-6, 0.999, "relative change of the norm at each iteration"),
            "init_epsilon": (1.0, 1e-6, 32.0, "the first norm, in pixels"),
            "bisections": (10, 0, 100, "of the way from the image to the closest adversarial, at the end"),
        },
    },
}

# As in the paper: steps fall from 1 to 0.01 along a cosine.
LAST_STEPSIZE = 0.01


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Step along the cross-entropy's gradient within a norm that adapts.

    The paper's Algorithm 1 as Foolbox has it, but for a gradient that does not saturate (see
    `cross_entropy_direction`): a step along the cross-entropy's gradient, then the
    perturbation gets a norm that shrinks by gamma after a point that is adversarial, and grows after one that
    is not. At the end, beyond the paper, the closest adversarial is drawn in along the line to the image. The
    first direction is the gradient in the first repetition, random in the others; where the
    gradient vanishes it is random too.
    """
    x, labels, setting, random = rows.x, rows.labels, rows.setting, random_direction(rows)
    largest = _norm(torch.maximum(x, 1.0 - x))
    epsilon = setting["init_epsilon"]
    perturbation, closest = torch.zeros_like(x), Closest(x)
    for step in range(setting["steps"]):
        point = x + perturbation
        logits, gradient = cross_entropy_direction(model, point, labels)
        adversarial = logits.argmax(dim=1) != labels
        closest.keep(point, _norm(perturbation), adversarial)

        replaced = _norm(gradient) == 0
        if step == 0:
            replaced |= rows.repetition > 0
        direction = torch.where(to_images(replaced), random, gradient)
        direction = direction / to_images(_norm(direction).clamp_min(1e-12))
        share = (1 + cos(pi * step / setting["steps"])) / 2
        perturbation = perturbation + (LAST_STEPSIZE + (1.0 - LAST_STEPSIZE) * share) * direction
        gamma = setting["gamma"]
        epsilon = (epsilon * torch.where(adversarial, 1.0 - gamma, 1.0 + gamma)).minimum(largest)
        perturbation = perturbation * to_images(epsilon / _norm(perturbation).clamp_min(1e-12))
        perturbation = (x + perturbation).clamp(0.0, 1.0) - x
    passes = 2 * setting["steps"]
    return drawn_in(model, rows, closest, passes)


def random_direction(rows: Rows) -> Tensor:
    """Return what stands in for the gradient, (rows, 1, H, W)."""
    return sample_normal(rows, "direction")


def _norm(images: Tensor) -> Tensor:
    return images.flatten(1).norm(dim=1)
