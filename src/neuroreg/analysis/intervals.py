"""95 % intervals that stay honest with a handful of seeds or runs."""

from typing import NamedTuple

import numpy as np
from scipy.stats import beta, t

LEVEL = 0.95
RESAMPLES = 1000  # of the claims
_DRAWN = 2000  # resamples of a percentile interval


def percentile_interval(
    distance: np.ndarray, chosen: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean distance, over seeds and samples.

    Each of `_DRAWN` resamples draws seeds and, independently, samples with replacement; a drawn sample
    counts in all drawn seeds, because all models are attacked on the same samples.

    Parameters
    ----------
    distance
        Shape (seeds, samples); inf entries are left out.
    chosen
        bool, same shape: which entries count.
    rng
        The random generator.

    Returns
    -------
    tuple of float
        The 2.5 and 97.5 % points; NaN, NaN if nothing counts.
    """
    counted = chosen & np.isfinite(distance)
    if not counted.any():
        return np.nan, np.nan
    means = resampled_means(distance, counted, *draw_counts(*distance.shape, _DRAWN, rng))
    low, high = np.percentile(means[~np.isnan(means)], [2.5, 97.5])
    return float(low), float(high)


def draw_counts(
    seeds: int, samples: int, resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each seed and, independently, each sample is drawn, with replacement.

    Returns
    -------
    seed_counts : float64 (resamples, seeds)
        Rows sum to `seeds`.
    sample_counts : float64 (resamples, samples)
        Rows sum to `samples`. A drawn sample counts in all drawn seeds.
    """
    seed_counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    sample_counts = rng.multinomial(samples, np.full(samples, 1 / samples), size=resamples)
    return seed_counts.astype(np.float64), sample_counts.astype(np.float64)


def draw_with_original(
    seeds: int, samples: int, resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `draw_counts` does, below a first row of ones: nothing resampled."""
    drawn = draw_counts(seeds, samples, resamples, rng)
    return tuple(np.concatenate([np.ones((1, counts.shape[1])), counts]) for counts in drawn)


def resampled_means(
    values: np.ndarray, counted: np.ndarray, seed_counts: np.ndarray, sample_counts: np.ndarray
) -> np.ndarray:
    """Return the mean over seeds of each seed's mean over samples, for each resample.

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
        float64 (resamples,); a seed with no entry in a resample is left out of it, NaN if no seed has one.
    """
    sums = sample_counts @ np.where(counted, values, 0.0).T  # (resamples, seeds)
    counts = sample_counts @ counted.T
    weights = np.where(counts > 0, seed_counts, 0.0)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    total = weights.sum(axis=1)
    sums = (weights * means).sum(axis=1)
    return np.divide(sums, total, out=np.full_like(total, np.nan), where=total > 0)


def resampled_medians(values: np.ndarray, seed_counts: np.ndarray, sample_counts: np.ndarray) -> np.ndarray:
    """Return the median over seeds and samples together, for each resample.

    Parameters
    ----------
    values
        Shape (seeds, samples); may hold inf, the largest, but no NaN.
    seed_counts, sample_counts
        As `draw_counts` returns them.

    Returns
    -------
    ndarray
        float64 (resamples,), as numpy.median of the drawn values.
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


class Interval(NamedTuple):
    """An estimate and its 95 % interval; NaN for bounds that cannot be had."""

    estimate: float
    low: float
    high: float


def bootstrap_interval(statistic: np.ndarray, seeds: int) -> Interval:
    """Return the estimate plus and minus t standard errors.

    The standard error is that of the resampled statistic times sqrt(seeds / (seeds - 1)), because resampling
    n seeds loses one nth of their variance; t is Student's quantile with seeds - 1 degrees of freedom.
    Percentiles of so few seeds would cover too little: of three, the range at most, three times in four.

    Parameters
    ----------
    statistic
        float (1 + resamples,): the statistic of the data, then of each resample
        (`bootstrap.draw_with_original`).
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
