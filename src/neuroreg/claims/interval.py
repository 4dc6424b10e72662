"""95 % intervals that stay honest with a handful of seeds or runs."""

from typing import NamedTuple

import numpy as np
from scipy.stats import beta, t

RESAMPLES = 1000
LEVEL = 0.95


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
