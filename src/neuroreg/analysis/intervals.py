"""The one method behind all 95 % intervals: variance between seeds plus variance over images.

Values are an array (..., C, S, N): C conditions that share S seeds and N images. They are taken for draws
from a mixed model,

    value of c, s, i = mean of c + seed s + seed s in c + image i + image i in c + rest,

all terms but the mean random, so that an interval speaks of other seeds and other images of the same kind.
The variance of a contrast of conditions, a weighted sum of their means, is estimated by the sum of

- the variance between seeds: that of the seeds' means over images, divided by S. It is pooled over
  conditions: each condition's seeds deviate from its own mean; what all conditions share of these deviations
  (S - 1 degrees of freedom) is told from what they do not ((C - 1) (S - 1)), and both count as the weights
  say; of a difference the shared part cancels. This part holds the rest of each seed's images already.
- the variance over images: that of the images' means over seeds, less what the rest explains of it, divided
  by N. The images are the same for all seeds, which do not average it out.

Its degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2, 110), no fewer than those of the
seeds' part with the fewest; the factor is Student's t. Pooling
takes seeds to vary equally in all conditions; docs/intervals.md shows what happens where they do not, and how
often the intervals hold the truth.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, stdtrit  # the quantiles of scipy.stats, which takes longer to import

from neuroreg.analysis.linear import linear_angles, linear_logarithms, share_at

LEVEL = 0.95
_DRAWS = 20_000  # of the largest of several t values


class Interval(NamedTuple):
    """An estimate, its 95 % interval and the degrees of freedom behind it.

    NaN for bounds that cannot be had. Arrays over the leading axes of the values if they have any.
    """

    estimate: float
    low: float
    high: float
    freedom: float = np.nan


class _Part(NamedTuple):
    """One mean square: what it adds to the variance, its degrees of freedom, and what is squared."""

    factor: float
    freedom: int
    deviations: np.ndarray  # (..., K); the mean square is their sum of squares / freedom

    def variance(self) -> np.ndarray:
        return self.factor * (self.deviations**2).sum(axis=-1) / self.freedom


def contrast(values: np.ndarray, weights: np.ndarray) -> Interval:
    """Return the interval of a weighted sum of the conditions' means.

    Parameters
    ----------
    values
        float (..., C, S, N). A condition of weight 0 that holds a value that is not finite is left out.
    weights
        float (C,): 1 and -1 for a difference, for instance.

    Returns
    -------
    Interval
        Without bounds if there is one seed or one image, or a value that counts is not finite.
    """
    return _around(*_spread(values, weights))


def positive(values: np.ndarray, weights: np.ndarray) -> Interval:
    """Return the interval of a product of powers of the conditions' means, on the logarithmic scale.

    Means must be above 0, as of distances: a ratio of two has the weights 1 and -1, the mean of one condition
    the weight 1. Logarithms are linear about each condition's mean, so that the estimate is that of the means
    themselves, and relative deviations of seeds are pooled.

    Parameters
    ----------
    values, weights
        As for `contrast`.

    Returns
    -------
    Interval
        Bounds are above 0; as for `contrast`, and without bounds where a mean is 0.
    """
    found = contrast(linear_logarithms(values), weights)
    with np.errstate(over="ignore"):
        return Interval(*(np.exp(value) for value in found[:3]), found.freedom)  # type: ignore[call-arg]


def share(values: np.ndarray, condition: int) -> Interval:
    """Return the interval of one condition's mean of values in [0, 1], which never leaves [0, 1].

    Computed on the scale of `linear_angles`. Where all values are 0, or all are 1, images add the
    Clopper-Pearson interval of N observations.

    Parameters
    ----------
    values
        As for `contrast`, each in [0, 1].
    condition
        Which of the C.
    """
    estimate = values.mean(axis=(-1, -2))[..., condition]
    weights = np.zeros(values.shape[-3])
    weights[condition] = 1.0
    found = contrast(linear_angles(values), weights)
    low, high = share_at(found.low), share_at(found.high)
    # There and back an angle is off by rounding.
    low, high = np.minimum(low, estimate), np.maximum(high, estimate)
    of_images = share_interval(estimate, values.shape[-1])
    sure = (estimate == 0) | (estimate == 1)
    low = np.where(sure & (of_images.low < low), of_images.low, low)
    high = np.where(sure & (of_images.high > high), of_images.high, high)
    return Interval(estimate, low[()], high[()], found.freedom)


def simultaneous(values: np.ndarray, weights: np.ndarray) -> Interval:
    """Return intervals of one contrast at several levels that all hold at once in 95 % of cases.

    The factor is the 95 % point of the largest of the levels' absolute t values, drawn from a multivariate t
    with the correlations of the estimates and the fewest degrees of freedom of any level: that of a single
    level if all levels say the same, about Bonferroni's if they are independent.

    Parameters
    ----------
    values
        float (L, C, S, N), finite.
    weights
        As for `contrast`.

    Returns
    -------
    Interval
        Of arrays (L,).
    """
    estimate, variance, freedom = _spread(values, weights)
    if np.isnan(variance).any() or not variance.any():
        return _around(estimate, variance, freedom)
    parts = _parts(values, weights)[:3]  # the fourth is a correction
    covariance = sum(part.factor * part.deviations @ part.deviations.T / part.freedom for part in parts)
    return _all_at_once(estimate, variance, freedom, covariance)


def simultaneous_contrasts(values: np.ndarray, weights: np.ndarray) -> Interval:
    """Return intervals of several contrasts at one level that all hold at once, as `simultaneous` has them.

    Parameters
    ----------
    values
        float (C, S, N), finite. All conditions tell how much seeds vary, whatever their weights.
    weights
        float (K, C), a contrast a row.

    Returns
    -------
    Interval
        Of arrays (K,).
    """
    estimate, variance, freedom = map(np.stack, zip(*(_spread(values, row) for row in weights), strict=True))
    if np.isnan(variance).any() or not variance.any():
        return _around(estimate, variance, freedom)
    parts = [_parts(values, row) for row in weights]
    seeds = values.shape[1]
    shared, own = ((part.deviations**2).sum() / part.freedom / seeds for part in parts[0][:2])
    alike = np.outer(weights.sum(axis=1), weights.sum(axis=1)) / len(values)
    of_images = np.stack([part[2].deviations for part in parts])
    covariance = alike * shared + (weights @ weights.T - alike) * own
    covariance += parts[0][2].factor * of_images @ of_images.T / parts[0][2].freedom
    return _all_at_once(estimate, variance, freedom, covariance)


def _all_at_once(
    estimate: np.ndarray, variance: np.ndarray, freedom: np.ndarray, covariance: np.ndarray
) -> Interval:
    """Return the intervals of estimates (K,) with correlations as of `covariance` (K, K)."""
    error = np.sqrt(covariance.diagonal())
    known = error > 0
    correlation = covariance[np.ix_(known, known)] / np.outer(error[known], error[known])
    fewest = np.nanmin(freedom)
    rng = np.random.default_rng(0)  # a constant of the method, no property of the data
    eigenvalues, eigenvectors = np.linalg.eigh(correlation)
    normal = rng.standard_normal((_DRAWS, known.sum())) * np.sqrt(eigenvalues.clip(0)) @ eigenvectors.T
    scale = np.sqrt(rng.chisquare(fewest, _DRAWS) / fewest)
    factor = np.quantile(np.abs(normal).max(axis=1) / scale, LEVEL)
    # Never below the factor of a single level, which random draws might miss by a little.
    return _around(estimate, variance, np.full_like(variance, fewest), factor)


def share_interval(share: float, n: float | np.ndarray) -> Interval:
    """Return a share and its Clopper-Pearson interval; for runs that say yes or no, without images.

    Runs that all agree show no variance, whatever their number; this interval has a width nevertheless.

    Parameters
    ----------
    share
        In [0, 1]; may be an array.
    n
        Independent observations behind it, above 0; not necessarily whole; may be an array.
    """
    hits, tail = np.asarray(share) * n, (1 - LEVEL) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(hits > 0, betaincinv(hits, n - hits + 1, tail), 0.0)
        high = np.where(hits < n, betaincinv(hits + 1, n - hits, 1 - tail), 1.0)
    return Interval(share, low[()], high[()])


def _parts(values: np.ndarray, weights: np.ndarray) -> list[_Part]:
    """Return the mean squares that the variance of a contrast is made of.

    In their order: seeds in all conditions alike, seeds in each condition, images, and, to be taken off, the
    rest of the images.
    """
    *leading, conditions, seeds, images = values.shape
    of_seeds = values.mean(axis=-1)
    of_seeds = of_seeds - of_seeds.mean(axis=-1, keepdims=True)
    shared = of_seeds.mean(axis=-2)
    own = (of_seeds - shared[..., None, :]).reshape(*leading, -1)
    alike = weights.sum() ** 2 / conditions
    apart = max(float((weights**2).sum() - alike), 0.0)
    combined = np.einsum("c,...csn->...sn", weights, values)
    mean = combined.mean(axis=(-1, -2), keepdims=True)
    of_images = combined.mean(axis=-2, keepdims=True) - mean
    rest = combined - mean - of_images - (combined.mean(axis=-1, keepdims=True) - mean)
    all_values = seeds * images
    return [
        _Part(alike / seeds, seeds - 1, np.sqrt(conditions) * shared),
        _Part(apart / seeds, max((conditions - 1) * (seeds - 1), 1), own),
        _Part(1 / all_values, images - 1, np.sqrt(seeds) * of_images[..., 0, :]),
        _Part(1 / all_values, (seeds - 1) * (images - 1), rest.reshape(*leading, -1)),
    ]


def _spread(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the estimate of a contrast, its variance and its degrees of freedom, each (...)."""
    weights = np.asarray(weights, dtype=np.float64)
    other = tuple(axis for axis in range(values.ndim) if axis != values.ndim - 3)
    kept = (weights != 0) | np.isfinite(values).all(axis=other)
    values, weights = values[..., kept, :, :], weights[kept]
    with np.errstate(invalid="ignore"):
        estimate = values.mean(axis=(-1, -2)) @ weights
        if min(values.shape[-2:]) < 2:
            return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
        parts = _parts(values, weights)
        alike, apart, images, rest = (part.variance() for part in parts)
        variance = alike + apart + np.maximum(images - rest, 0)
        squares = [part.variance() ** 2 / part.freedom for part in parts]
        # What is taken for 0 has no degrees of freedom to take away.
        squares = squares[0] + squares[1] + np.where(images > rest, squares[2] + squares[3], 0)
        # Few images of which seeds get as many right by chance: no seeds differ, the images' own mean square.
        chance = (variance == 0) & (images > 0)
        variance = np.where(chance, images, variance)
        squares = np.where(chance, images**2 / parts[2].freedom, squares)
        freedom = np.divide(
            variance**2,
            squares,
            out=np.full_like(variance, np.nan),
            where=np.isfinite(squares) & (squares > 0),
        )
        # What is taken off may leave next to nothing of a mean square, whose uncertainty stays.
        fewest = min(part.freedom for part in parts[:2] if part.factor > 0)
        freedom = np.maximum(freedom, fewest)
    return estimate, variance, freedom


def _around(
    estimate: np.ndarray, variance: np.ndarray, freedom: np.ndarray, factor: float | None = None
) -> Interval:
    """Return estimate plus and minus `factor`, Student's if None, times the standard error."""
    single = stdtrit(freedom, (1 + LEVEL) / 2)
    factor = single if factor is None else np.maximum(factor, single)
    # Values that all agree have neither variance nor degrees of freedom.
    reach = np.where(variance == 0, 0.0, factor * np.sqrt(variance))
    return Interval(estimate[()], estimate - reach, estimate + reach, freedom[()])
