"""Intervals of medians by those of shares (Woodruff 1952, J. of the Am. Statistical Association 47, 635).

How far the share of values below the median may be off is told by the one method of
`neuroreg.analysis.intervals`; the quantiles at such shares bound the median. So the interval holds whatever
the distribution: misclassified images at 0, whole numbers of pixels, images without an adversarial at inf.
"""

import numpy as np

from neuroreg.analysis.intervals import Interval, contrast
from neuroreg.analysis.linear import linear_means


def median(values: np.ndarray, counted: np.ndarray, condition: int) -> Interval:
    """Return one condition's median, the mean of its seeds' medians over images, and its interval.

    Parameters
    ----------
    values
        float (..., C, S, N): C conditions that share S seeds and N images; may hold inf, the largest. May
        hold anything where it does not count.
    counted
        bool, same shape.
    condition
        Which of the C. The others tell how much seeds vary.

    Returns
    -------
    Interval
        Without bounds as of `contrast`, and where the median is not finite. The upper bound may be inf. NaN
        if nothing counts for one of the condition's seeds.
    """
    own, count = values[..., condition, :, :], counted[..., condition, :, :].sum(axis=-1)
    ordered = np.sort(np.where(counted[..., condition, :, :], own, np.inf), axis=-1)

    def at(rank: np.ndarray) -> np.ndarray:
        """Return the values at ranks (..., S), from 1; the first or last one where there is none."""
        index = np.clip(rank, 1, np.maximum(count, 1)).astype(np.int64) - 1
        return np.take_along_axis(ordered, index[..., None], axis=-1)[..., 0]

    def quantile(share: np.ndarray) -> np.ndarray:
        # Rounding must not lift a whole rank to the next.
        return at(np.ceil(share[..., None] * count - 1e-9)).mean(axis=-1)

    medians = (at((count + 1) // 2) + at(count // 2 + 1)) / 2
    estimate = np.where(count > 0, medians, np.nan).mean(axis=-1)
    angles = _angles(values, counted)
    weights = np.zeros(values.shape[-3])
    weights[condition] = 1.0
    found = contrast(angles, weights)
    reach = np.asarray(found.high - found.estimate)
    known = np.isfinite(reach) & np.isfinite(estimate)
    reach = np.where(known, reach, 0.0)
    ends = [quantile(np.sin(np.clip(np.pi / 2 + side * reach, 0, np.pi) / 2) ** 2) for side in (-1, 1)]
    # The mean of two values in the middle may lie beyond a quantile, which is one of them.
    low = np.where(known, np.minimum(ends[0], estimate), np.nan)
    high = np.where(known, np.maximum(ends[1], estimate), np.nan)
    return Interval(estimate[()], low[()], high[()], found.freedom)  # type: ignore[arg-type]


def _angles(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return (..., C, S, N) whose mean is twice the arcsine of the root of the share below each median.

    Linear about it, as in `intervals.share`. The median is that of all seeds' values together. Of equal
    values all count as below it or none, by which comes nearer to a half.
    """
    together = np.where(counted, values, np.inf).reshape(*values.shape[:-2], -1)
    count = counted.sum(axis=(-1, -2))[..., None]
    middle = np.take_along_axis(np.sort(together, axis=-1), np.maximum((count + 1) // 2, 1) - 1, axis=-1)[
        ..., None
    ]
    strictly, at_most = (linear_means(below, counted) for below in (values < middle, values <= middle))
    off = [np.abs(below.mean(axis=(-1, -2), keepdims=True) - 0.5) for below in (strictly, at_most)]
    below = np.where(off[0] < off[1], strictly, at_most)
    share = below.mean(axis=(-1, -2), keepdims=True)
    spread = np.sqrt(np.maximum(share * (1 - share), 0))
    deviations = np.divide(
        below - share, spread, out=np.where(np.isnan(below), np.nan, 0.0), where=spread > 0
    )
    return 2 * np.arcsin(np.sqrt(np.clip(share, 0, 1))) + deviations
