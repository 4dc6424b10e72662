"""Carlini & Wagner's L2 attack (2017) on rows, with a random start in tanh space for repetitions."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.rows import Adam, sample_normal, to_images

# As in Foolbox: from 10 searches on the last one takes the smallest constant that succeeded once more, at
# most this.
REPEATED_FROM, LARGEST = 10, 1e10
# Keeps black and white pixels at a finite place in tanh space.
SHRINK = 0.999999


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

    For each value of a constant c, Adam in tanh space lowers the squared distance to the image plus c times
    the label's lead over the other logits. c grows tenfold until it yields an adversarial and is bisected
    from then on. Confidence is 0. As in Foolbox without its early abort, which looks at the whole batch.

    The first repetition starts each search at the image, the others at the image plus Gaussian noise in tanh
    space, the distance still being that to the image.

    Parameters and returns as in `projected_gradient.run`; `setting` has binary_search_steps, steps (int),
    stepsize, initial_const, start_noise (float32 (rows,)); `variant` is ``"l2"``.
    """
    searches, steps = setting["binary_search_steps"], setting["steps"]
    origin = ((2.0 * x - 1.0) * SHRINK).atanh()
    image = _to_image(origin)
    noise = to_images(setting["start_noise"]) * sample_normal(x, seeds, "start", repetition)
    start = origin + torch.where(to_images(repetition > 0), noise, 0.0)

    # In float64: bisected often, but only ever used as float32.
    c = setting["initial_const"].double()
    failed, succeeded = torch.zeros_like(c), torch.full_like(c, torch.inf)
    best, smallest = torch.full_like(x, torch.nan), torch.full_like(x[:, 0, 0, 0], torch.inf)
    for search in range(searches):
        if search == searches - 1 and searches >= REPEATED_FROM:
            c = succeeded.clamp(max=LARGEST)
        place, success = start, torch.zeros_like(labels, dtype=torch.bool)
        adam = Adam(place, to_images(setting["stepsize"]))
        for _ in range(steps):
            point, adversarial, gradient = _descend(model, place, image, labels, c.to(x.dtype))
            place = place - adam.step(gradient)
            size = (point - x).flatten(1).norm(dim=1)
            closer = adversarial & (size < smallest)
            smallest = torch.where(closer, size, smallest)
            best = torch.where(to_images(closer), point, best)
            success |= adversarial
        succeeded = torch.where(success, c, succeeded)
        failed = torch.where(success, failed, c)
        c = torch.where(succeeded.isinf(), 10.0 * c, (failed + succeeded) / 2)
    return best, torch.full((len(x),), searches * steps, dtype=torch.int64)


def _to_image(place: Tensor) -> Tensor:
    return 0.5 * place.tanh() + 0.5


def _descend(
    model: nn.Module, place: Tensor, image: Tensor, labels: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the point at `place`, whether it is adversarial (rows,), and the loss's gradient there."""
    place = place.detach().requires_grad_(True)
    point = _to_image(place)
    logits = model(point)
    own = logits.gather(1, labels[:, None])[:, 0]
    lead = own - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    loss = (c * lead.clamp(min=0.0)).sum() + (point - image).square().sum()
    (gradient,) = torch.autograd.grad(loss, place)
    return point.detach(), logits.argmax(dim=1) != labels, gradient
