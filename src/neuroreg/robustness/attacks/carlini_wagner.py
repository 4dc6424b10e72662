"""Carlini & Wagner's L2 attack (Foolbox), with a random start in tanh space for repetitions."""

from collections.abc import Mapping

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

    The first repetition is Foolbox's attack; the others start every search for an adversarial at the image
    plus Gaussian noise in tanh space, the distance still being that to the image. Confidence is 0. Foolbox's
    early abort is off: it looks at the whole batch's loss, so that a sample's result would depend on its
    neighbours.

    Parameters and returns as in `projected_gradient.run`; `setting` has binary_search_steps, steps, stepsize,
    initial_const, start_noise; `variant` is ``"l2"``.
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
    noise = torch.zeros_like(x)
    if repetition > 0:
        noise = setting["start_noise"] * sample_normal(x, seeds, "start", repetition)
    # Foolbox optimises an offset in tanh space that begins at 0; moving its origin moves the start.
    inputs = hooked(
        x, lambda loss, differentiate: differentiate(lambda delta, *rest: loss(delta + noise, *rest))
    )
    found = attack.run(counter.for_foolbox(x.device), inputs, foolbox.criteria.Misclassification(labels)).raw
    # Where Foolbox found nothing it returns a black image.
    nothing = (found == 0).flatten(1).all(dim=1).view(-1, 1, 1, 1)
    found = torch.where(nothing, torch.full_like(x, torch.nan), found)
    return found, torch.full((len(x),), counter.calls, dtype=torch.int64)
