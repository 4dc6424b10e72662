"""A sample in which each class keeps its share."""

import numpy as np


def stratified_sample(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return indices drawn without replacement, as many of each class as its share of `size`.

    Shares are rounded down; what is left over goes, one each, to the classes with the largest remainders, of
    equal ones to the smaller label.

    Parameters
    ----------
    labels
        int (N,).
    size
        How many, 0 to N.
    rng
        Decides which of each class; the classes draw in ascending order.

    Returns
    -------
    numpy.ndarray
        int64 (size,), ascending, without repeats.
    """
    classes, counts = np.unique(labels, return_counts=True)
    # In whole numbers: rounding would put equal remainders in any order.
    share, remainder = np.divmod(counts * size, len(labels))
    share[np.argsort(-remainder, kind="stable")[: size - share.sum()]] += 1
    chosen = [
        rng.choice(np.flatnonzero(labels == label), number, replace=False)
        for label, number in zip(classes, share, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
