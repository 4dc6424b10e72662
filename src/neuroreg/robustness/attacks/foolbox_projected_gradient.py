"""Foolbox's projected gradient descent in Linf (plain and Adam), with a search for the smallest epsilon."""

from collections.abc import Mapping

import eagerpy as ep
import foolbox
import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.foolbox_bridge import CountingModel, one_setting_at_a_time
from neuroreg.robustness.attacks.projected_gradient import smallest_epsilon
from neuroreg.robustness.attacks.rows import sample_uniform, to_images


class _RowEpsilon:
    """Lets a Foolbox Linf attack take one epsilon per row and a given random start."""

    start: Tensor

    def get_random_start(self, x0: ep.Tensor, epsilon: ep.Tensor) -> ep.Tensor:
        return x0 + epsilon * ep.astensor(self.start)

    def project(self, x: ep.Tensor, x0: ep.Tensor, epsilon: ep.Tensor) -> ep.Tensor:
        return x0 + ep.maximum(ep.minimum(x - x0, epsilon), -epsilon)


class PlainAttack(_RowEpsilon, foolbox.attacks.LinfProjectedGradientDescentAttack):
    """Foolbox's PGD: steps along the gradient's sign; the last iterate."""


class AdamAttack(_RowEpsilon, foolbox.attacks.LinfAdamProjectedGradientDescentAttack):
    """Foolbox's AdamPGD: Adam on the gradient's sign; the last iterate."""


VARIANTS = {"plain": PlainAttack, "adam": AdamAttack}


@one_setting_at_a_time
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

    Parameters and returns as in `projected_gradient.run`.
    """
    counter = CountingModel(model)
    foolbox_model, criterion = counter.for_foolbox(x.device), foolbox.criteria.Misclassification(labels)
    attack = VARIANTS[variant](
        rel_stepsize=setting["rel_stepsize"], steps=setting["steps"], random_start=True
    )
    noise = sample_uniform(x, seeds, "start", repetition)
    attack.start = torch.where(to_images(repetition > 0), noise, 0.0)

    def attempt(epsilon: Tensor) -> tuple[Tensor, Tensor]:
        found = attack.run(
            foolbox_model, ep.astensor(x), criterion, epsilon=ep.astensor(to_images(epsilon))
        ).raw
        with torch.no_grad():
            return found, counter(found).argmax(dim=1) != labels

    epsilon = torch.full((len(x),), setting["epsilon"], device=x.device)
    found = smallest_epsilon(attempt, x, epsilon, setting["search_steps"])
    return found, torch.full((len(x),), counter.calls, dtype=torch.int64)
