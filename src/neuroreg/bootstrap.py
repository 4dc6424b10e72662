"""Bootstrap over training seeds and test samples, crossed: every model sees the same samples."""

import numpy as np


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
