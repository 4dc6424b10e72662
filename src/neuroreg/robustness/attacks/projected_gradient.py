"""Projected gradient descent in Linf (plain and Adam) with a search for each row's smallest epsilon."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.rows import Adam, loss_gradient, sample_uniform, to_images


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
    best, smallest = torch.full_like(x, torch.nan), succeeded
    for _ in range(search_steps):
        found, success = attempt(epsilon)
        size = (found - x).abs().flatten(1).amax(dim=1)
        closer = success & (size < smallest)
        best = torch.where(to_images(closer), found, best)
        smallest = torch.where(closer, size, smallest)
        succeeded = torch.where(success, epsilon, succeeded)
        failed = torch.where(success, failed, epsilon)
        epsilon = torch.where(succeeded.isinf(), (1.5 * epsilon).clamp(max=1.0), (failed + succeeded) / 2)
    return best


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

    At each epsilon the last iterate counts, as in Foolbox. The first repetition starts from the image, the
    others from a random point within epsilon.

    Parameters
    ----------
    variant
        ``"plain"``: steps along the sign of the cross-entropy's gradient; ``"adam"``: Adam on that sign, as
        in Foolbox.
    model
        In eval mode, parameters frozen, on the device of `x`.
    x
        float32 (rows, 1, H, W) in [0, 1].
    labels
        int64 (rows,).
    setting
        steps, search_steps: int; rel_stepsize, epsilon: float32 (rows,).
    repetition
        int64 (rows,), from 0.
    seeds
        int64 (rows,), one per sample.
    starting_points
        Not used.

    Returns
    -------
    tuple
        float32 (rows, 1, H, W), NaN where nothing was found; int64 (rows,).
    """
    steps, search_steps = setting["steps"], setting["search_steps"]
    noise = sample_uniform(x, seeds, "start", repetition)
    start = torch.where(to_images(repetition > 0), noise, 0.0)

    def attempt(epsilon: Tensor) -> tuple[Tensor, Tensor]:
        stepsize = setting["rel_stepsize"] * epsilon
        found = climb(variant, model, x, labels, epsilon=epsilon, stepsize=stepsize, steps=steps, start=start)
        with torch.no_grad():
            return found, model(found).argmax(dim=1) != labels

    found = smallest_epsilon(attempt, x, setting["epsilon"], search_steps)
    return found, torch.full((len(x),), search_steps * (steps + 1), dtype=torch.int64)


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
    variant, model, x, labels
        As in `run`.
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
        direction = loss_gradient(model, point, labels)[1].sign()
        step = adam.step(direction) if adam else stepsize * direction
        point = (x + (point + step - x).clamp(-epsilon, epsilon)).clamp(0.0, 1.0)
    return point
