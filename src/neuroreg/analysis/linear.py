"""Statistics of each seed's images as means over images, so that one interval serves all of them.

A statistic of N values differs from its expectation by the mean of N influences, one for each value, and by
terms that vanish faster (Hampel 1974, Journal of the American Statistical Association 69, 383). Here each
value stands for the statistic plus its influence: the mean over images is the statistic, and their variance
is N times that of the statistic.
"""

import numpy as np


def linear_means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the mean over those images that count, in terms of all images.

    Parameters
    ----------
    values
        float (..., N); may hold anything where it does not count.
    counted
        bool, same shape.

    Returns
    -------
    ndarray
        float64 (..., N); the mean over the last axis is the mean of the values that count, NaN if none does.
    """
    count = counted.sum(axis=-1, keepdims=True)
    counting = np.where(counted, values, 0.0)
    with np.errstate(invalid="ignore"):
        means = counting.sum(axis=-1, keepdims=True) / np.where(count > 0, count, np.nan)
        return means + np.where(counted, counting - means, 0.0) * (values.shape[-1] / np.maximum(count, 1))


def linear_angles(values: np.ndarray) -> np.ndarray:
    """Return twice the arcsine of the root of a share, the mean over seeds and images, linear about it.

    On this scale the variance of a share does not depend on it. `share_at` leads back.

    Parameters
    ----------
    values
        float (..., S, N), of a mean in [0, 1], but for rounding.

    Returns
    -------
    ndarray
        float64 (..., S, N), 0 to pi in the mean over the last two axes; all equal where the share is 0 or 1.
    """
    shares = values.mean(axis=(-1, -2), keepdims=True).clip(0, 1)
    spread = np.sqrt(shares * (1 - shares))
    deviations = np.divide(values - shares, spread, out=np.zeros_like(values, dtype=float), where=spread > 0)
    return 2 * np.arcsin(np.sqrt(shares)) + deviations


def share_at(angle: np.ndarray) -> np.ndarray:
    """Return the share at an angle of `linear_angles`; 0 or 1 beyond 0 or pi."""
    return np.sin(np.clip(angle, 0, np.pi) / 2) ** 2


def linear_logarithms(values: np.ndarray) -> np.ndarray:
    """Return the logarithm of the mean over seeds and images, linear about it.

    Parameters
    ----------
    values
        float (..., S, N).

    Returns
    -------
    ndarray
        float64 (..., S, N); the mean over the last two axes is the logarithm of that of the values, not
        finite where that is not above 0.
    """
    means = values.mean(axis=(-1, -2), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(means) + values / means - 1
