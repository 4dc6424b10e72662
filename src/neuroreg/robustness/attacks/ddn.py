"""Decoupling direction and norm (Foolbox): nothing quantised, repetitions with a random first direction."""

from collections.abc import Callable, Mapping

import eagerpy as ep
import foolbox
import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.foolbox_bridge import CountingModel, sample_normal
from neuroreg.robustness.attacks.gradient_hook import hooked


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

    The first repetition is Foolbox's attack; the others take a random first direction instead of the
    gradient.

    Parameters and returns as in `projected_gradient.run`, but the clean image where nothing was found;
    `setting` has steps, gamma, init_epsilon; `variant` is ``"l2"``.
    """
    counter = CountingModel(model)
    attack = foolbox.attacks.DDNAttack(
        init_epsilon=setting["init_epsilon"], steps=setting["steps"], gamma=setting["gamma"]
    )
    direction = sample_normal(x, seeds, "direction", repetition)

    def wrap(loss: Callable, differentiate: Callable) -> Callable:
        step = differentiate(loss)
        first = repetition > 0

        def value_and_gradient(*args):
            nonlocal first
            value, logits, gradient = step(*args)
            # Foolbox would replace vanishing gradients with noise that depends on the batch.
            replace = (gradient.raw == 0).flatten(1).all(dim=1).view(-1, 1, 1, 1) | first
            first = False
            return value, logits, ep.astensor(torch.where(replace, direction, gradient.raw))

        return value_and_gradient

    criterion = foolbox.criteria.Misclassification(labels)
    found = attack.run(counter.for_foolbox(x.device), hooked(x, wrap), criterion).raw
    return found, torch.full((len(x),), counter.calls, dtype=torch.int64)
