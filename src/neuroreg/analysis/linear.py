"""Statistics of each seed's images as means over images, so that one interval serves all of them.

A statistic of N values differs from its expectation by the mean of N influences, one for each value, and by
terms that vanish faster (Hampel 1974, Journal of the American Statistical Association 69, 383). Here each
value stands for the statistic plus its influence: the mean over images is the statistic, and their variance
is N times that of the statistic.
"""

import warnings

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


def linear_medians(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the median over those images that count, in terms of all images.

    The influence of a value depends on its side of the median alone, and on the density there: that of the
    values relative to their seed's median, of all seeds of a condition together, between those of their
    quantiles that the median of N values reaches in 95 % of cases (as Price and Bonett 2001, Journal of
    Statistical Computation and Simulation 68, 295).

    Parameters
    ----------
    values
        float (..., S, N), 0 or more; may hold inf, the largest.
    counted
        bool, same shape.

    Returns
    -------
    ndarray
        float64 (..., S, N); the mean over the last axis is the median. NaN where a median is 0 or inf, or
        nothing counts.
    """
    count = counted.sum(axis=-1, keepdims=True)
    some = np.where(counted, values, np.nan)
    everything = bool(counted.all())
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of slices without a number
        medians = (np.median if everything else np.nanmedian)(some, axis=-1, keepdims=True)
        medians = np.where((medians > 0) & np.isfinite(medians), medians, np.nan)
        reach = min(0.98 / np.sqrt(max(count.mean(), 1)), 0.5)
        relative = (some / medians).reshape(*values.shape[:-2], -1)
        quantiles = np.nanquantile if np.isnan(relative).any() else np.quantile
        low, high = quantiles(relative, [0.5 - reach, 0.5 + reach], axis=-1, method="inverted_cdf")
        slope = (high - low) / (2 * reach)  # one over the density
        slope = np.where(np.isfinite(slope), slope, np.nan)[..., None, None]
    side = np.where(counted, np.sign(some - medians), 0.0)
    side = side - np.where(counted, side.sum(axis=-1, keepdims=True) / np.maximum(count, 1), 0.0)
    side = side * (values.shape[-1] / np.maximum(count, 1))
    return medians * (1 + side / 2 * slope)


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
