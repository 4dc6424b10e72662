"""Projected gradient descent in Linf (plain and Adam) with a search for each row's smallest epsilon."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import Closest
from neuroreg.robustness.attacks.rows import (
    Adam,
    Rows,
    but_first,
    cross_entropy_direction,
    sample_uniform,
    to_images,
)

METHODS = {
    "pgd": {
        "norm": "linf",
        "variant": "plain",
        "settings": {
            "steps": (40, 1, 100_000, "iterations at each epsilon"),
            "rel_stepsize": (0.03333333333333333, 1e-6, 10.0, "step size as a fraction of epsilon"),
            "epsilon": (0.01, 1e-6, 1.0, "where the search over epsilon starts"),
            "search_steps": (
                20,
                1,
                1_000,
                "values of epsilon tried: times 1.5 until success, then bisection",
            ),
        },
    },
    "adam_pgd": {"like": "pgd", "variant": "adam"},
}


def smallest_epsilon(
    attempt: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, epsilon: Tensor, search_steps: int
) -> Tensor:
    """Return the adversarials nearest to `x` in Linf that were met.

    Epsilon grows by a factor of 1.5, to 1 at most, until the attack succeeds; then it is the mean of the last
    that failed and the last that succeeded, as in Foolbox 2.

    Parameters
    ----------
    attempt
        Epsilon (rows,) to points (rows, 1, H, W) within it and whether each is adversarial (rows,).
    x
        float32 (rows, 1, H, W).
    epsilon
        float32 (rows,), where the search starts.
    search_steps
        Attempts.

    Returns
    -------
    Tensor
        float32 (rows, 1, H, W), NaN where nothing was found.
    """
    failed, succeeded = torch.zeros_like(epsilon), torch.full_like(epsilon, torch.inf)
    closest = Closest(x)
    for _ in range(search_steps):
        found, success = attempt(epsilon)
        closest.keep(found, (found - x).abs().flatten(1).amax(dim=1), success)
        succeeded = torch.where(success, epsilon, succeeded)
        failed = torch.where(success, failed, epsilon)
        epsilon = torch.where(succeeded.isinf(), (1.5 * epsilon).clamp(max=1.0), (failed + succeeded) / 2)
    return closest.best


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Step along the sign of the cross-entropy's gradient (``"plain"``), or with Adam on it (``"adam"``).

    All as in Foolbox, but for a gradient that does not saturate (see `cross_entropy_direction`): at each
    epsilon the last iterate counts. The first repetition starts from the image,
    the others from a random point within epsilon.
    """
    x, labels, setting, start = rows.x, rows.labels, rows.setting, random_start(rows)
    steps, search_steps = setting["steps"], setting["search_steps"]

    def attempt(epsilon: Tensor) -> tuple[Tensor, Tensor]:
        stepsize = setting["rel_stepsize"] * epsilon
        found = climb(variant, model, x, labels, epsilon=epsilon, stepsize=stepsize, steps=steps, start=start)
        with torch.no_grad():
            return found, model(found).argmax(dim=1) != labels

    found = smallest_epsilon(attempt, x, setting["epsilon"], search_steps)
    return found, torch.full((len(x),), search_steps * (steps + 1), dtype=torch.int64)


def random_start(rows: Rows) -> Tensor:
    """Return the first offset of each row in units of epsilon, (rows, 1, H, W) in [-1, 1)."""
    return but_first(rows, sample_uniform(rows, "start"))


def climb(
    variant: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    epsilon: Tensor,
    stepsize: Tensor,
    steps: int,
    start: Tensor,
) -> Tensor:
    """Return where `steps` steps up the cross-entropy end, within `epsilon` of `x` and in [0, 1].

    Parameters
    ----------
    variant, model
        As in `run`.
    x, labels
        float32 (rows, 1, H, W) in [0, 1] and int64 (rows,).
    epsilon, stepsize
        float32 (rows,).
    steps
        How many.
    start
        float32 (rows, 1, H, W) in [-1, 1], the first offset in units of epsilon.
    """
    epsilon, stepsize = to_images(epsilon), to_images(stepsize)
    adam = Adam(x, stepsize) if variant == "adam" else None
    point = (x + epsilon * start).clamp(0.0, 1.0)
    for _ in range(steps):
        direction = cross_entropy_direction(model, point, labels)[1].sign()
        step = adam.step(direction) if adam else stepsize * direction
        point = (x + (point + step - x).clamp(-epsilon, epsilon)).clamp(0.0, 1.0)
    return point
