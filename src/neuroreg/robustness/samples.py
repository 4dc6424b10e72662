"""Which test images are attacked: the same for every model."""

import numpy as np

from neuroreg.errors import InputError
from neuroreg.seeds import derive_seed


def choose_samples(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return indices of `n` samples, drawn without replacement in proportion to the classes.

    Parameters
    ----------
    labels
        int (N,), the test set's labels.
    n
        How many, 1 to N.
    seed
        Decides which; no model takes part, so every model gets the same samples.

    Returns
    -------
    ndarray
        int64 (n,), ascending, without repeats. Each class has its proportional share, rounded down or up.

    Raises
    ------
    InputError
        If `n` is below 1 or above N.
    """
    labels = np.asarray(labels)
    if not 1 <= n <= len(labels):
        raise InputError(
            f"attacks: {n} samples asked for; expected 1 to {len(labels)}, the test images there are."
        )
    classes, counts = np.unique(labels, return_counts=True)
    quota = n * counts // len(labels)
    # Largest remainder: a class short of its exact share gets one of the samples left over.
    remainder = n * counts % len(labels)
    quota[np.argsort(-remainder, kind="stable")[: n - quota.sum()]] += 1
    chosen = [
        np.random.default_rng(derive_seed(seed, "attack samples", int(label))).permutation(
            np.flatnonzero(labels == label)
        )[:share]
        for label, share in zip(classes, quota, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
