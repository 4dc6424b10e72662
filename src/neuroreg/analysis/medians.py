"""Intervals of medians by those of shares (Woodruff 1952, J. of the Am. Statistical Association 47, 635).

How far the share of values below the median may be off is told by the one method of
`neuroreg.analysis.intervals`; the quantiles at such shares bound the median. No density is asked for, which
many misclassified images at 0, whole numbers of pixels or images without an adversarial would spoil.
docs/intervals.md shows how often the intervals hold there.
"""

import numpy as np

from neuroreg.analysis.intervals import Interval, contrast, share_interval
from neuroreg.analysis.linear import linear_angles, linear_means, share_at


def median(values: np.ndarray, counted: np.ndarray, condition: int) -> Interval:
    """Return one condition's median, the mean of its seeds' medians over images, and its interval.

    Parameters
    ----------
    values
        float (..., C, S, N), 0 or more: C conditions that share S seeds and N images; may hold inf, the
        largest, but not NaN. May hold anything where it does not count.
    counted
        bool, same shape.
    condition
        Which of the C. The others tell how much seeds vary.

    Returns
    -------
    Interval
        Without bounds as of `contrast`, and where the median is not finite. The bounds are 0 and inf where
        the share below the median may be none or all. NaN if nothing counts for one of the condition's seeds;
        another condition with such a seed is left out.
    """
    own, count = values[..., condition, :, :], counted[..., condition, :, :].sum(axis=-1)[..., None]
    ordered = np.sort(np.where(counted[..., condition, :, :], own, np.inf), axis=-1)
    medians = (_at(ordered, (count + 1) // 2) + _at(ordered, count // 2 + 1))[..., 0] / 2
    estimate = np.where(count[..., 0] > 0, medians, np.nan).mean(axis=-1)
    weights = np.zeros(values.shape[-3])
    weights[condition] = 1.0
    found = contrast(linear_angles(_below_medians(values, counted)), weights)
    reach = np.asarray(found.high - found.estimate)
    known = np.isfinite(reach) & np.isfinite(estimate)
    # Images that all agree show no variance; so few of them as may count tell nothing of the median.
    few = share_interval(1.0, np.maximum(count[..., 0].min(axis=-1), 1)).low <= 0.5
    reach = np.where(few & (reach < 1e-9), np.pi, reach)
    reach = np.where(known, reach, 0.0)
    together = np.sort(ordered.reshape(*ordered.shape[:-2], 1, -1), axis=-1)

    def quantiles(side: int) -> list[np.ndarray]:
        """Return a bound as the mean of the seeds' quantiles and as the quantile of all seeds' values.

        Where many values are equal the former's noise has one side: one seed above 0 lifts the mean.
        """
        share = share_at(np.pi / 2 + side * reach)[..., None, None]
        # Rounding must not lift a whole rank to the next.
        ranks = (np.ceil(share * of - 1e-9) for of in (count, count.sum(axis=-2, keepdims=True)))
        return [
            _at(own, rank)[..., 0].mean(axis=-1) for own, rank in zip((ordered, together), ranks, strict=True)
        ]

    # The mean of two values in the middle may lie above a quantile, which is one of them.
    low, high = np.minimum(*quantiles(-1)), np.maximum(np.maximum(*quantiles(1)), estimate)
    low, high = np.where(reach >= np.pi / 2, 0.0, low), np.where(reach >= np.pi / 2, np.inf, high)
    low, high = np.where(known, low, np.nan), np.where(known, high, np.nan)
    return Interval(estimate[()], low[()], high[()], found.freedom)  # type: ignore[arg-type]


def _at(ordered: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Return the values at ranks (..., S, 1), from 1, of values (..., S, K)."""
    index = np.clip(rank, 1, ordered.shape[-1]).astype(np.int64) - 1
    return np.take_along_axis(ordered, index, axis=-1)


def _below_medians(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return (..., C, S, N) whose mean over seeds and images is the share below each condition's median.

    The median is that of all seeds' values together. Of equal values all count as below it or none, by which
    comes nearer to a half.
    """
    together = np.where(counted, values, np.inf).reshape(*values.shape[:-2], -1)
    count = counted.sum(axis=(-1, -2))[..., None]
    middle = np.take_along_axis(np.sort(together, axis=-1), np.maximum((count + 1) // 2, 1) - 1, axis=-1)[
        ..., None
    ]
    strictly, at_most = (linear_means(below, counted) for below in (values < middle, values <= middle))
    off = [np.abs(below.mean(axis=(-1, -2), keepdims=True) - 0.5) for below in (strictly, at_most)]
    return np.where(off[0] < off[1], strictly, at_most)
