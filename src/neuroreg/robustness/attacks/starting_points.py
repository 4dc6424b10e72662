"""Where Brendel-Bethge attacks start: images of other classes."""

import numpy as np

from neuroreg.seeds import derive_seed


def choose_starting_points(
    logits: np.ndarray, pool_labels: np.ndarray, labels: np.ndarray, seeds: np.ndarray, repetition: int
) -> np.ndarray:
    """Return for each sample the pool image that its search starts from.

    Each sample has its own random order of the pool (the same for every model); repetition k starts at the
    k-th image of another class that the model also takes for another class, by more than 1e-3 in the logits.

    Parameters
    ----------
    logits
        float (P, classes) of the pool.
    pool_labels
        int (P,).
    labels
        int (S,), the samples' labels.
    seeds
        int (S,), one per sample.
    repetition
        From 0; begins anew when the images are used up.

    Returns
    -------
    ndarray
        int64 (S,), positions in the pool; -1 where no image will do.
    """
    chosen = np.full(len(labels), -1, dtype=np.int64)
    for row, (label, seed) in enumerate(zip(labels, seeds, strict=True)):
        others = np.delete(logits, label, axis=1).max(axis=1)
        eligible = (pool_labels != label) & (others - logits[:, label] > 1e-3)
        order = np.random.default_rng(derive_seed(int(seed), "starting points")).permutation(len(pool_labels))
        order = order[eligible[order]]
        if len(order):
            chosen[row] = order[repetition % len(order)]
    return chosen
