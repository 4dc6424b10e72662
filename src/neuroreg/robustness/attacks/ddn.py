"""Decoupling direction and norm (DDN; Rony et al. 2019) on rows, nothing quantised."""

from collections.abc import Mapping
from math import cos, pi

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.rows import loss_gradient, sample_normal, to_images

# As in the paper: steps fall from 1 to 0.01 along a cosine.
LAST_STEPSIZE = 0.01


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

    The paper's Algorithm 1 as Foolbox has it: a step along the cross-entropy's gradient, then the
    perturbation gets a norm that shrinks by gamma after a point that is adversarial, and grows after one that
    is not. The first direction is the gradient in the first repetition, random in the others; where the
    gradient vanishes it is random too.

    Parameters and returns as in `projected_gradient.run`; `setting` has steps (int), gamma and init_epsilon
    (float32 (rows,)); `variant` is ``"l2"``.
    """
    random = sample_normal(x, seeds, "direction", repetition)
    largest = _norm(torch.maximum(x, 1.0 - x))
    epsilon = setting["init_epsilon"]
    perturbation, best = torch.zeros_like(x), torch.full_like(x, torch.nan)
    smallest = torch.full_like(epsilon, torch.inf)
    for step in range(setting["steps"]):
        point = x + perturbation
        logits, gradient = loss_gradient(model, point, labels)
        adversarial = logits.argmax(dim=1) != labels
        size = _norm(perturbation)
        closer = adversarial & (size < smallest)
        smallest = torch.where(closer, size, smallest)
        best = torch.where(to_images(closer), point, best)

        replaced = _norm(gradient) == 0
        if step == 0:
            replaced |= repetition > 0
        direction = torch.where(to_images(replaced), random, gradient)
        direction = direction / to_images(_norm(direction).clamp_min(1e-12))
        share = (1 + cos(pi * step / setting["steps"])) / 2
        perturbation = perturbation + (LAST_STEPSIZE + (1.0 - LAST_STEPSIZE) * share) * direction
        gamma = setting["gamma"]
        epsilon = (epsilon * torch.where(adversarial, 1.0 - gamma, 1.0 + gamma)).minimum(largest)
        perturbation = perturbation * to_images(epsilon / _norm(perturbation).clamp_min(1e-12))
        perturbation = (x + perturbation).clamp(0.0, 1.0) - x
    return best, torch.full((len(x),), setting["steps"], dtype=torch.int64)


def _norm(images: Tensor) -> Tensor:
    return images.flatten(1).norm(dim=1)
