"""Carlini & Wagner's L2 attack (2017) on rows, with a random start in tanh space for repetitions."""

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import SIZES, Closest
from neuroreg.robustness.attacks.rows import Adam, Rows, start_noise, to_images

METHODS = {
    "carlini_wagner": {
        "norm": "l2",
        "settings": {
            "binary_search_steps": (5, 1, 100, "values of the constant c tried"),
            "steps": (1000, 1, 100_000, "iterations at each c"),
            "stepsize": (5e-3, 1e-6, 10.0, "Adam's step size in tanh space"),
            "initial_const": (1e-2, 1e-9, 1e9, "the first c"),
            "start_noise": (0.01, 0.0, 10.0, "std of the start in tanh space, from the second repetition on"),
            "box": (0.99, 0.5, 0.999999, "share of tanh's range that is [0, 1]; Foolbox's is the largest"),
        },
    },
}

# As in Foolbox: from 10 searches on the last one takes the smallest constant that succeeded once more, at
# most this.
REPEATED_FROM, LARGEST = 10, 1e10


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Lower the squared distance to the image plus c times the label's lead over the other logits.

    Adam does so in tanh space, for each value of the constant c, which grows tenfold until it yields an
    adversarial and is bisected from then on. Confidence is 0. As in Foolbox without its early abort, which
    looks at the whole batch.

    [0, 1] is the share `box` of tanh's range, and places in tanh space are kept to it. The nearer it is to 1,
    the flatter tanh is at black and white pixels; at Foolbox's value they hardly move.

    The first repetition starts each search at the image, the others at the image plus Gaussian noise in tanh
    space, the distance still being that to the image.
    """
    x, labels, setting = rows.x, rows.labels, rows.setting
    searches, steps = setting["binary_search_steps"], setting["steps"]
    box = to_images(setting["box"])
    edge = box.atanh()
    start = (((2.0 * x - 1.0) * box).atanh() + random_offset(rows)).clamp(-edge, edge)

    # In float64: bisected often, but only ever used as float32.
    c = setting["initial_const"].double()
    failed, succeeded = torch.zeros_like(c), torch.full_like(c, torch.inf)
    closest = Closest(x)
    for search in range(searches):
        if search == searches - 1 and searches >= REPEATED_FROM:
            c = succeeded.clamp(max=LARGEST)
        place, success = start, torch.zeros_like(labels, dtype=torch.bool)
        adam = Adam(place, to_images(setting["stepsize"]))
        for _ in range(steps):
            point, adversarial, gradient = _descend(model, place, box, x, labels, c.to(x.dtype))
            place = (place - adam.step(gradient)).clamp(-edge, edge)
            closest.keep(point, SIZES["l2"]((point - x).flatten(1)), adversarial)
            success |= adversarial
        succeeded = torch.where(success, c, succeeded)
        failed = torch.where(success, failed, c)
        c = torch.where(succeeded.isinf(), 10.0 * c, (failed + succeeded) / 2)
    return closest.best, torch.full((len(x),), searches * steps, dtype=torch.int64)


def random_offset(rows: Rows) -> Tensor:
    """Return where each row's searches start in tanh space, less the image, (rows, 1, H, W)."""
    noise, std = start_noise(rows), rows.setting["start_noise"]
    return noise * to_images(torch.as_tensor(std, dtype=noise.dtype, device=noise.device))


def _descend(
    model: nn.Module, place: Tensor, box: Tensor, image: Tensor, labels: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the point at `place`, whether it is adversarial (rows,), and the loss's gradient there."""
    place = place.detach().requires_grad_(True)
    point = 0.5 * place.tanh() / box + 0.5
    logits = model(point)
    own = logits.gather(1, labels[:, None])[:, 0]
    lead = own - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    loss = (c * lead.clamp(min=0.0)).sum() + (point - image).square().sum()
    (gradient,) = torch.autograd.grad(loss, place)
    # Outside by rounding at most.
    return point.detach().clamp(0.0, 1.0), logits.argmax(dim=1) != labels, gradient
