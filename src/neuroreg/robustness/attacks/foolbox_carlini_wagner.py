"""Foolbox's L2 attack of Carlini & Wagner, with a random start in tanh space for repetitions."""

from collections.abc import Mapping

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

    The first repetition is Foolbox's attack; the others start every search for an adversarial at the image
    plus Gaussian noise in tanh space, the distance still being that to the image. Confidence is 0. Foolbox's
    early abort is off: it looks at the whole batch's loss, so that a sample's result would depend on its
    neighbours.

    Parameters and returns as in `carlini_wagner.run`.
    """
    counter = CountingModel(model)
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=setting["binary_search_steps"],
        steps=setting["steps"],
        stepsize=setting["stepsize"],
        initial_const=setting["initial_const"],
        confidence=0,
        abort_early=False,
    )
    noise = setting["start_noise"] * sample_normal(x, seeds, "start", repetition)
    noise = torch.where(to_images(repetition > 0), noise, 0.0)
    # Foolbox optimises an offset in tanh space that begins at 0; moving its origin moves the start.
    inputs = hooked(
        x, lambda loss, differentiate: differentiate(lambda delta, *rest: loss(delta + noise, *rest))
    )
    found = attack.run(counter.for_foolbox(x.device), inputs, foolbox.criteria.Misclassification(labels)).raw
    # Where Foolbox found nothing it returns a black image.
    nothing = to_images((found == 0).flatten(1).all(dim=1))
    found = torch.where(nothing, torch.nan, found)
    return found, torch.full((len(x),), counter.calls, dtype=torch.int64)
