"""Trials that showed the same image."""

import numpy as np


def repeated_trials(image: np.ndarray) -> np.ndarray:
    """Return the trials, int (K,), whose image, one of `image` int (T,), is shown in at least two."""
    _, inverse, counts = np.unique(image, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[inverse] >= 2)


def average_repeats(values: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average trials of the same image; the number of trials may differ from image to image.

    Parameters
    ----------
    values
        float (T, N).
    image
        int (T,), which image each trial showed.

    Returns
    -------
    means : numpy.ndarray
        float64 (I, N), sorted by image.
    inverse : numpy.ndarray
        int (T,), row of `means` of each trial.
    counts : numpy.ndarray
        int (I,), trials of each image.
    """
    _, inverse, counts = np.unique(image, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(np.asarray(values, np.float64)[order], starts, axis=0)
    return sums / counts[:, None], inverse, counts
