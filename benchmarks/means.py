"""The mean that the benchmarks of attacks print."""

import numpy as np


def told_mean(distance: np.ndarray, largest: np.ndarray) -> str:
    """Return the mean of (S,) distances as text.

    Where some are not finite, no adversarial having been found, it is followed by the mean that counts these
    at the largest distances (S,) there are (`neuroreg.robustness.largest`), between which the mean of the
    attack lies, and by their number.
    """
    there = np.isfinite(distance)
    mean = f"{distance[there].mean():.5f}" if there.any() else "none"
    if there.all():
        return mean
    return f"{mean} to {np.where(there, distance, largest).mean():.5f} ({(~there).sum()} without)"
