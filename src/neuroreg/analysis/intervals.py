"""95 % intervals that stay honest with a handful of seeds or runs.

All but that of a share rest on one way of resampling: seeds and, independently, samples are drawn with
replacement, and a drawn sample counts in all drawn seeds, because all models see the same samples. What is
wanted of the data is computed of each resample too, the data itself being the first, and an interval is made
of these values: `draw_counts`, then `resampled_means` or `resampled_medians`, then `percentile_interval` (the
figures) or `bootstrap_interval` (the claims).
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import beta, t

LEVEL = 0.95
FIGURE_RESAMPLES, CLAIM_RESAMPLES = 2000, 1000


class Interval(NamedTuple):
    """An estimate and its 95 % interval; NaN for bounds that cannot be had."""

    estimate: float
    low: float
    high: float


def draw_counts(
    seeds: int, samples: int, resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each seed and each sample counts: once in the data itself, as drawn in each resample.

    Returns
    -------
    seed_counts : float64 (1 + resamples, seeds)
        The first row is all ones; rows sum to `seeds`.
    sample_counts : float64 (1 + resamples, samples)
        The first row is all ones; rows sum to `samples`.
    """

    def drawn(n: int) -> np.ndarray:
        counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
        return np.concatenate([np.ones((1, n)), counts])

    return drawn(seeds), drawn(samples)


def resampled_means(
    values: np.ndarray, counted: np.ndarray, seed_counts: np.ndarray, sample_counts: np.ndarray
) -> np.ndarray:
    """Return the mean over seeds of each seed's mean over samples, for the data and each resample.

    Parameters
    ----------
    values
        Shape (seeds, samples).
    counted
        bool, same shape: which entries count; the others may be anything.
    seed_counts, sample_counts
        As `draw_counts` returns them.

    Returns
    -------
    ndarray
        float64 (1 + resamples,); a seed with no entry in a resample is left out, NaN if no seed has one.
    """
    sums = sample_counts @ np.where(counted, values, 0.0).T  # (resamples, seeds)
    counts = sample_counts @ counted.T
    weights = np.where(counts > 0, seed_counts, 0.0)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    total = weights.sum(axis=1)
    sums = (weights * means).sum(axis=1)
    return np.divide(sums, total, out=np.full_like(total, np.nan), where=total > 0)


def resampled_medians(values: np.ndarray, seed_counts: np.ndarray, sample_counts: np.ndarray) -> np.ndarray:
    """Return the median over seeds and samples together, for the data and each resample.

    Parameters
    ----------
    values
        Shape (seeds, samples); may hold inf, the largest, but no NaN.
    seed_counts, sample_counts
        As `draw_counts` returns them.

    Returns
    -------
    ndarray
        float64 (1 + resamples,), as numpy.median of the drawn values.
    """
    values = values.ravel()
    order = values.argsort(kind="stable")
    medians = np.empty(len(seed_counts))
    for index, (seeds, samples) in enumerate(zip(seed_counts, sample_counts, strict=True)):
        reached = np.outer(seeds, samples).ravel()[order].cumsum()
        half = reached[-1] / 2
        # The two middle values, one and the same where their number is odd.
        middle = np.searchsorted(reached, half), np.searchsorted(reached, half, side="right")
        medians[index] = values[order[list(middle)]].mean()
    return medians


def percentile_interval(statistic: np.ndarray) -> Interval:
    """Return the estimate and the 2.5 and 97.5 % points of the resampled statistic.

    Parameters
    ----------
    statistic
        float (1 + resamples,): the statistic of the data, then of each resample; NaN where it cannot be had.
    """
    known = statistic[1:][~np.isnan(statistic[1:])]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Interval(float(statistic[0]), float(low), float(high))


def bootstrap_interval(statistic: np.ndarray, seeds: int) -> Interval:
    """Return the estimate plus and minus t standard errors.

    The standard error is that of the resampled statistic times sqrt(seeds / (seeds - 1)), because resampling
    n seeds loses one nth of their variance; t is Student's quantile with seeds - 1 degrees of freedom.
    Percentiles of so few seeds would cover too little: of three, the range at most, three times in four.

    Parameters
    ----------
    statistic
        float (1 + resamples,): the statistic of the data, then of each resample.
    seeds
        How many seeds there are.

    Returns
    -------
    Interval
        Without bounds if there is one seed, or a value is not finite.
    """
    estimate, resampled = float(statistic[0]), statistic[1:]
    if seeds < 2 or not np.isfinite(statistic).all():
        return Interval(estimate, np.nan, np.nan)
    error = resampled.std() * np.sqrt(seeds / (seeds - 1))
    reach = float(t.ppf((1 + LEVEL) / 2, seeds - 1) * error)
    return Interval(estimate, estimate - reach, estimate + reach)


def share_interval(share: float, n: float) -> Interval:
    """Return a share and its Clopper-Pearson interval.

    A bootstrap of runs that all agree has no width, whatever their number; this one has.

    Parameters
    ----------
    share
        In [0, 1].
    n
        Independent observations behind it, above 0; not necessarily whole.
    """
    hits, tail = share * n, (1 - LEVEL) / 2
    low = beta.ppf(tail, hits, n - hits + 1) if hits > 0 else 0.0
    high = beta.ppf(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    return Interval(share, float(low), float(high))
