"""Carlini & Wagner's L2 attack (2017) on rows, with a random start in tanh space for repetitions."""

from math import ceil

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import SIZES, Closest, drawn_in
from neuroreg.robustness.attacks.rows import Adam, Rows, start_noise, to_images
from neuroreg.robustness.evaluation import label_lead

METHODS = {
    "carlini_wagner": {
        "norm": "l2",
        "settings": {
            "binary_search_steps": (5, 1, 100, "values of the constant c tried"),
            "steps": (1000, 2, 100_000, "iterations at each c"),
            "stepsize": (5e-3, 1e-6, 10.0, "Adam's step size in tanh space"),
            "initial_const": (1e-2, 1e-9, 1e9, "the first c"),
            "start_noise": (0.01, 0.0, 10.0, "std of the start in tanh space, from the second repetition on"),
            "box": (0.99, 0.5, 0.999999, "share of tanh's range that is [0, 1]; Foolbox's is the largest"),
            "checks": (
                10,
                0,
                1000,
                "times in a search that a row stops if its loss no longer falls; 0: never",
            ),
            "bisections": (10, 0, 100, "of the way from the image to the closest adversarial, at the end"),
        },
    },
}

# As in Foolbox: from 10 searches on the last one takes the smallest constant that succeeded once more, at
# most this. Nor does it grow further: the loss is all that counts there, and would overflow at last.
REPEATED_FROM, LARGEST = 10, 1e10
# As in the authors' code and Foolbox: the loss falls if it is below this share of what it was.
FALLING = 0.9999


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Lower the squared distance to the image plus c times the label's lead over the other logits.

    Adam does so in tanh space, for each value of the constant c, which grows tenfold, to 1e10, until it
    yields an adversarial and is bisected from then on. Confidence is 0. All as in Foolbox, but that each row
    by itself leaves a search early, not the whole batch. At the end, beyond the paper, the closest
    adversarial is drawn in along the line to the image.

    [0, 1] is the share `box` of tanh's range, and places in tanh space are kept to it. The nearer it is to 1,
    the flatter tanh is at black and white pixels; at Foolbox's value they hardly move.

    The first repetition starts each search at the image, the others at the image plus Gaussian noise in tanh
    space, the distance still being that to the image.
    """
    x, labels, setting = rows.x, rows.labels, rows.setting
    searches = setting["binary_search_steps"]
    box = to_images(setting["box"])
    edge = box.atanh()
    start = (((2.0 * x - 1.0) * box).atanh() + random_offset(rows)).clamp(-edge, edge)

    # In float64: bisected often, but only ever used as float32.
    c = setting["initial_const"].double()
    failed, succeeded = torch.zeros_like(c), torch.full_like(c, torch.inf)
    closest, passes = Closest(x), torch.zeros_like(labels)
    for search in range(searches):
        if search == searches - 1 and searches >= REPEATED_FROM:
            c = succeeded.clamp(max=LARGEST)
        success = _search(model, rows, start, c.to(x.dtype), closest, passes)
        succeeded = torch.where(success, c, succeeded)
        failed = torch.where(success, failed, c)
        c = torch.where(succeeded.isinf(), (10.0 * c).clamp(max=LARGEST), (failed + succeeded) / 2)
    return drawn_in(model, rows, closest, passes)


def random_offset(rows: Rows) -> Tensor:
    """Return where each row's searches start in tanh space, less the image, (rows, 1, H, W)."""
    noise, std = start_noise(rows), rows.setting["start_noise"]
    return noise * to_images(torch.as_tensor(std, dtype=noise.dtype, device=noise.device))


def _search(
    model: nn.Module, rows: Rows, start: Tensor, c: Tensor, closest: Closest, passes: Tensor
) -> Tensor:
    """Descend from `start` at weights `c` (rows,) and return whether an adversarial was met, bool (rows,).

    Those that are closer are kept in `closest`, and what was spent is added to `passes`.
    """
    setting, steps, checks = rows.setting, rows.setting["steps"], rows.setting["checks"]
    success = torch.zeros_like(rows.labels, dtype=torch.bool)
    index = torch.arange(len(rows), device=start.device)
    x, labels, place, box = rows.x, rows.labels, start, to_images(setting["box"])
    edge, before = box.atanh(), torch.full_like(c, torch.inf)
    adam = Adam(place, to_images(setting["stepsize"]))
    for step in range(steps):
        point, adversarial, loss, gradient = _descend(model, place, box, x, labels, c)
        place = (place - adam.step(gradient)).clamp(-edge, edge)
        closest.keep(point, SIZES["l2"]((point - x).flatten(1)), adversarial, index)
        success[index] |= adversarial
        passes[index] += 2
        if checks and step % ceil(steps / checks) == 0:
            left = (loss <= FALLING * before).nonzero()[:, 0]
            index, before, x, labels, c = index[left], loss[left], x[left], labels[left], c[left]
            place, box, edge = place[left], box[left], edge[left]
            adam.keep(left)
            if not len(index):
                break
    return success


def _descend(
    model: nn.Module, place: Tensor, box: Tensor, image: Tensor, labels: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the point at `place`, whether it is adversarial, the loss (rows,), and its gradient there."""
    place = place.detach().requires_grad_(True)
    point = 0.5 * place.tanh() / box + 0.5
    logits = model(point)
    loss = c * label_lead(logits, labels).clamp(min=0.0) + (point - image).square().flatten(1).sum(dim=1)
    (gradient,) = torch.autograd.grad(loss.sum(), place)
    # Outside by rounding at most.
    return point.detach().clamp(0.0, 1.0), logits.argmax(dim=1) != labels, loss.detach(), gradient
