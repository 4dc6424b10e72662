"""Projected gradient descent in Linf (plain and Adam) with a search for each sample's smallest epsilon."""

from collections.abc import Mapping

import eagerpy as ep
import foolbox
import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.foolbox_bridge import CountingModel, sample_uniform


class _PerSampleEpsilon:
    """Lets a Foolbox Linf attack take one epsilon per sample and a given random start."""

    start: Tensor | None = None

    def get_random_start(self, x0: ep.Tensor, epsilon: ep.Tensor) -> ep.Tensor:
        return x0 + epsilon * ep.astensor(self.start)

    def project(self, x: ep.Tensor, x0: ep.Tensor, epsilon: ep.Tensor) -> ep.Tensor:
        return x0 + ep.maximum(ep.minimum(x - x0, epsilon), -epsilon)


class PlainAttack(_PerSampleEpsilon, foolbox.attacks.LinfProjectedGradientDescentAttack):
    """Foolbox's PGD: steps along the gradient's sign; the last iterate."""


class AdamAttack(_PerSampleEpsilon, foolbox.attacks.LinfAdamProjectedGradientDescentAttack):
    """Foolbox's AdamPGD: Adam on the gradient's sign; the last iterate."""


VARIANTS = {"plain": PlainAttack, "adam": AdamAttack}


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

    Each sample's epsilon grows by 1.5 until the attack succeeds; then the interval between the largest
    failure and the smallest success is halved (the authors' search in Foolbox 2.3, there from 0 on the left).
    The first repetition starts at the image, the others at a random point of the ball.

    Parameters
    ----------
    variant
        ``"plain"`` or ``"adam"``.
    model
        In eval mode, on the device of `x`.
    x
        float32 (B, 1, H, W) in [0, 1].
    labels
        int64 (B,).
    setting
        steps, rel_stepsize, epsilon, search_steps.
    repetition
        From 0.
    seeds
        int64 (B,), one per sample.
    starting_points
        Not used.

    Returns
    -------
    tuple
        float32 (B, 1, H, W), NaN where nothing was found; int64 (B,).
    """
    counter = CountingModel(model)
    foolbox_model = counter.for_foolbox(x.device)
    attack = VARIANTS[variant](
        rel_stepsize=setting["rel_stepsize"], steps=setting["steps"], random_start=repetition > 0
    )
    if repetition > 0:
        attack.start = sample_uniform(x, seeds, "start", repetition)
    epsilon = torch.full((len(x),), setting["epsilon"], device=x.device)
    failed, succeeded = torch.zeros_like(epsilon), torch.full_like(epsilon, torch.inf)
    best, smallest = torch.full_like(x, torch.nan), succeeded.clone()
    criterion = foolbox.criteria.Misclassification(labels)
    for _ in range(setting["search_steps"]):
        per_sample = ep.astensor(epsilon.view(-1, 1, 1, 1))
        found = attack.run(foolbox_model, ep.astensor(x), criterion, epsilon=per_sample).raw
        with torch.no_grad():
            success = counter(found).argmax(dim=1) != labels
        size = (found - x).abs().flatten(1).amax(dim=1)
        closer = success & (size < smallest)
        best = torch.where(closer.view(-1, 1, 1, 1), found, best)
        smallest = torch.where(closer, size, smallest)
        succeeded = torch.where(success, epsilon, succeeded)
        failed = torch.where(success, failed, epsilon)
        epsilon = torch.where(succeeded.isinf(), (1.5 * epsilon).clamp(max=1.0), (failed + succeeded) / 2)
    return best, torch.full((len(x),), counter.calls, dtype=torch.int64)
