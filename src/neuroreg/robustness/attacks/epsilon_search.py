"""The smallest epsilon, row by row, at which an attack of a given size succeeds."""

from collections.abc import Callable

import torch
from torch import Tensor

from neuroreg.robustness.attacks.rows import to_images


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
