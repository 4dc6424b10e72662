"""Foolbox's DDN: nothing quantised, repetitions with a random first direction."""

from collections.abc import Callable, Mapping

import eagerpy as ep
import foolbox
import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.foolbox_bridge import CountingModel, one_setting_at_a_time
from neuroreg.robustness.attacks.gradient_hook import hooked
from neuroreg.robustness.attacks.rows import sample_normal, to_images


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

    The first repetition is Foolbox's attack; the others take a random first direction instead of the
    gradient.

    Parameters and returns as in `ddn.run`, but the clean image where nothing was found.
    """
    counter = CountingModel(model)
    attack = foolbox.attacks.DDNAttack(
        init_epsilon=setting["init_epsilon"], steps=setting["steps"], gamma=setting["gamma"]
    )
    direction = sample_normal(x, seeds, "direction", repetition)

    def wrap(loss: Callable, differentiate: Callable) -> Callable:
        step = differentiate(loss)
        first = to_images(repetition > 0)

        def value_and_gradient(*args):
            nonlocal first
            value, logits, gradient = step(*args)
            # Foolbox would replace vanishing gradients with noise that depends on the batch.
            replace = to_images((gradient.raw == 0).flatten(1).all(dim=1)) | first
            first = torch.zeros_like(first)
            return value, logits, ep.astensor(torch.where(replace, direction, gradient.raw))

        return value_and_gradient

    criterion = foolbox.criteria.Misclassification(labels)
    found = attack.run(counter.for_foolbox(x.device), hooked(x, wrap), criterion).raw
    return found, torch.full((len(x),), counter.calls, dtype=torch.int64)
