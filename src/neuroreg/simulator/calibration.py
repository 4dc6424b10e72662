"""How noisy a simulated scan must be for its single trials to be as unreliable as recorded ones."""

import logging
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.optimize import brentq

from neuroreg.errors import InputError
from neuroreg.scans.reliability import repeated_trials, response_deviation, signal_to_noise_weight
from neuroreg.seeds import derive_seed
from neuroreg.similarity.matrix import FEWEST_IMAGES, centred_cosine, similarity_correlation, split_repeats

logger = logging.getLogger(__name__)
_LARGEST_LOG_LEVEL = 4  # levels from 0.018 to 55
_ENOUGH_IMAGES = 20
_ROUNDS = 3
_CHUNK = 256  # neurons at a time; bounds the memory of the weights


def single_trial_similarity(responses: np.ndarray, image: np.ndarray, seed: int) -> float:
    """Return how well similarities of single trials correlate with those averaged over the other repeats.

    As `similarity.oracle.oracle_similarities` has it in units ``std``, but averaged over choices of the
    single trials, of which one alone may be off by several hundredths: three rounds in which each trial has
    its turn.

    Parameters
    ----------
    responses
        float (T, N).
    image
        int (T,), which image each trial showed; those shown once are left out.
    seed
        Decides which trials are chosen together.

    Raises
    ------
    InputError
        If fewer than three images are repeated.
    """
    _, inverse, counts = np.unique(image, return_inverse=True, return_counts=True)
    repeats = [np.flatnonzero(inverse == i) for i in np.flatnonzero(counts > 1)]
    if len(repeats) < FEWEST_IMAGES:
        raise InputError(f"{len(repeats)} images repeated; expected at least {FEWEST_IMAGES}.")
    rng = np.random.default_rng(derive_seed(seed, "single trials"))
    counts = counts[counts > 1]
    parts = range(0, responses.shape[1], _CHUNK)
    w = np.concatenate([signal_to_noise_weight(responses[:, n : n + _CHUNK], image) for n in parts])
    weights = w / response_deviation(responses[repeated_trials(image)])
    correlations = []
    for first in rng.integers(counts, size=(_ROUNDS, len(counts))):
        for turn in range(counts.max()):
            split = split_repeats(responses, repeats, (first + turn) % counts)
            correlations.append(similarity_correlation(*(centred_cosine(rows, weights) for rows in split)))
    return float(np.mean(correlations))


def calibrate_noise(
    observe: Callable[[float], np.ndarray], image: np.ndarray, target: float, seed: int
) -> float:
    """Return the level of noise at which single trials have the given similarity to the others' average.

    Parameters
    ----------
    observe
        Gives the responses, float (T, N), at a level; a continuous function of it (the same draws at every
        level), so that the search converges to any precision.
    image
        int (T,), which image each trial showed.
    target
        Wanted `single_trial_similarity`; 0.39 in the paper.
    seed
        Of `single_trial_similarity`.

    Raises
    ------
    InputError
        If fewer than three images are repeated, or no level between 0.018 and 55 has the wanted similarity.
        With fewer than 20 images, of which chance decides that, the nearest of these levels is taken.
    """

    @cache
    def excess(log_level: float) -> float:
        return single_trial_similarity(observe(np.exp(log_level)), image, seed) - target

    # Similarity falls as noise grows.
    step = 1.0 if excess(0.0) > 0 else -1.0
    near, far = 0.0, step
    while (excess(far) > 0) == (excess(near) > 0):
        near, far = far, far + step
        if abs(far) > _LARGEST_LOG_LEVEL:
            images, level = len(np.unique(image)), float(np.exp(near))
            found = f"noise of level {level:.2g} gives {excess(near) + target:.2f}"
            if images < _ENOUGH_IMAGES:
                logger.warning("too few images (%d) to set the noise by: %s", images, found)
                return level
            raise InputError(
                f"single_trial_similarity {target} is out of reach ({found}); expected a value that noise can"
                " give, or a fixed noise."
            )
    return float(np.exp(brentq(excess, near, far, xtol=0.005)))
