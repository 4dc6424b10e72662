"""Which test images are attacked: the same for every model."""

import numpy as np

from neuroreg.errors import InputError
from neuroreg.seeds import derive_seed
from neuroreg.stratified import stratified_sample


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
    rng = np.random.default_rng(derive_seed(seed, "attack samples"))
    return stratified_sample(labels, n, rng)
