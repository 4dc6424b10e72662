"""How noisy a simulated scan must be to be as unreliable as recorded ones: its population and its neurons."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq

from neuroreg.errors import InputError
from neuroreg.scans.reliability import (
    by_blocks,
    jackknife_oracle,
    repeated_trials,
    response_deviation,
    signal_to_noise_weight,
)
from neuroreg.seeds import derive_seed
from neuroreg.similarity.matrix import FEWEST_IMAGES, centred_cosine, similarity_correlation, split_repeats
from neuroreg.simulator.trial_noise import NoiseLevels

logger = logging.getLogger(__name__)
_LEVELS = (-4.0, 4.0)  # logarithms: levels from 0.018 to 55
_RATIOS = (-4.0, 6.0)  # logarithms of shared over private level: 2 % shared to 0.25 % private
_TYPICAL_LEVEL, _TYPICAL_RATIO = 0.0, 3.0  # where searches begin
_ENOUGH = 20  # images and neurons; of fewer, chance decides
_TOLERANCE = 0.01  # far more than a search leaves, far less than what would be called another scan
_ROUNDS = 3
_CHUNK = 256  # neurons at a time; bounds the memory of copies in double precision


def single_trial_similarity(responses: np.ndarray, image: np.ndarray, seed: int) -> float:
    """Return how well similarities of single trials correlate with those averaged over the other repeats.

    As `similarity.oracle.oracle_similarities` has it in units ``std`` and with exponent 1, of w without bias
    correction, whatever a config says of `reliability`; but with each neuron's deviation over
    the repeated trials alone, and averaged over choices of the single trials, of which one alone may be off
    by several hundredths: three rounds in which each trial has its turn.

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
    w = by_blocks(lambda block: signal_to_noise_weight(block, image), responses, _CHUNK)
    weights = w / response_deviation(responses[repeated_trials(image)])
    correlations = []
    for first in rng.integers(counts, size=(_ROUNDS, len(counts))):
        for turn in range(counts.max()):
            split = split_repeats(responses, repeats, (first + turn) % counts)
            correlations.append(similarity_correlation(*(centred_cosine(rows, weights) for rows in split)))
    return float(np.mean(correlations))


def mean_oracle(responses: np.ndarray, image: np.ndarray) -> float:
    """Return the mean over neurons of `neuroreg.scans.reliability.jackknife_oracle`.

    Parameters
    ----------
    responses
        float (T, N).
    image
        int (T,), which image each trial showed; those shown once are left out.
    """
    return float(by_blocks(lambda block: jackknife_oracle(block, image), responses, _CHUNK).mean())


@dataclass(frozen=True)
class NoiseTargets:
    """What decides the noise: of the four, two are numbers and two are None.

    Attributes
    ----------
    single_trial_similarity
        How well similarities of single trials shall correlate with those averaged over the other repeats.
    mean_oracle
        Mean over neurons of the correlation of a trial with the mean of the image's other trials.
    noise, shared_noise
        A level that is fixed instead, see `NoiseLevels`.
    """

    single_trial_similarity: float | None
    mean_oracle: float | None
    noise: float | None = None
    shared_noise: float | None = None

    def given(self) -> dict[str, float]:
        """Return those that are numbers, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def calibrate_noise(
    observe: Callable[[NoiseLevels], np.ndarray], image: np.ndarray, targets: NoiseTargets, seed: int
) -> NoiseLevels:
    """Return the levels of private and shared noise at which responses are as reliable as they shall be.

    Two conditions, two unknowns: more of either noise lowers both the neurons' oracle and the similarity of
    single trials, but the population averages private noise out and shared noise hardly. For each ratio of
    the two, a search along their size meets the oracle; a search along the ratio meets the similarity. Where
    one level is fixed, the other is searched for alone.

    Parameters
    ----------
    observe
        Gives the responses, float (T, N), at levels of noise; a continuous function of them (the same draws
        at every level), so that the search converges to any precision.
    image
        int (T,), which image each trial showed.
    targets
        What shall be met or is fixed.
    seed
        Of `single_trial_similarity`.

    Raises
    ------
    InputError
        If fewer than three images are repeated, or no levels (0.018 to 55, or a share of one of the two
        noises of less than 2 or 0.3 per cent) meet the targets. With fewer than 20 images or neurons, of
        which chance decides that, the nearest of these levels are taken.
    """

    @cache
    def oracle(levels: NoiseLevels) -> float:
        return mean_oracle(observe(levels), image)

    @cache
    def similarity(levels: NoiseLevels) -> float:
        return single_trial_similarity(observe(levels), image, seed)

    private, shared = targets.noise, targets.shared_noise
    if private is not None and shared is not None:
        return NoiseLevels(private, shared)
    if targets.single_trial_similarity is not None and targets.mean_oracle is not None:
        near = _TYPICAL_LEVEL

        @cache
        def at(ratio: float) -> NoiseLevels:
            nonlocal near
            part = 1 / (1 + np.exp(-ratio))

            def split(log_level: float) -> NoiseLevels:
                return NoiseLevels(*(float(np.exp(log_level) * share) for share in (1 - part, part)))

            near = _falling_root(
                lambda log_level: oracle(split(log_level)) - targets.mean_oracle, near, 0.25, _LEVELS
            )
            return split(near)

        ratio = _falling_root(
            lambda ratio: similarity(at(ratio)) - targets.single_trial_similarity,
            _TYPICAL_RATIO,
            0.5,
            _RATIOS,
        )
        levels = at(ratio)
    else:

        def alone(log_level: float) -> NoiseLevels:
            level = float(np.exp(log_level))
            return NoiseLevels(level, shared) if private is None else NoiseLevels(private, level)

        measure, target = (
            (oracle, targets.mean_oracle)
            if targets.single_trial_similarity is None
            else (similarity, targets.single_trial_similarity)
        )
        levels = alone(
            _falling_root(lambda log_level: measure(alone(log_level)) - target, _TYPICAL_LEVEL, 1.0, _LEVELS)
        )
    _check_found(levels, targets, similarity, oracle, image, observe)
    return levels


def _falling_root(
    excess: Callable[[float], float], near: float, step: float, limits: tuple[float, float]
) -> float:
    """Return where a falling function is 0 within its limits, or the limit that is nearest to that."""
    excess = cache(excess)
    step = step if excess(near) > 0 else -step
    limit = limits[step > 0]
    while near != limit:
        far = float(np.clip(near + step, *limits))
        if (excess(far) > 0) != (excess(near) > 0):
            return brentq(excess, near, far, xtol=0.005)
        near, step = far, 2 * step
    return limit


def _check_found(
    levels: NoiseLevels,
    targets: NoiseTargets,
    similarity: Callable[[NoiseLevels], float],
    oracle: Callable[[NoiseLevels], float],
    image: np.ndarray,
    observe: Callable[[NoiseLevels], np.ndarray],
) -> None:
    """Refuse levels that miss a target, or warn where the scan is small."""
    found = {
        name: measure(levels)
        for name, measure in (("single_trial_similarity", similarity), ("mean_oracle", oracle))
        if getattr(targets, name) is not None
    }
    if all(abs(value - getattr(targets, name)) < _TOLERANCE for name, value in found.items()):
        return
    wanted = " with ".join(f"{name} {getattr(targets, name):g}" for name in found)
    nearest = " and ".join(f"{value:.2f}" for value in found.values())
    gives = f"noise of level {levels.private:.2g}, shared {levels.shared:.2g}, gives {nearest}"
    images, neurons = len(np.unique(image)), observe(levels).shape[1]
    if min(images, neurons) < _ENOUGH:
        logger.warning("too few images (%d) or neurons (%d) to set the noise by: %s", images, neurons, gives)
        return
    raise InputError(
        f"{wanted} is out of reach of {neurons} neurons ({gives}); expected values that noise can give, or"
        " fixed levels of noise."
    )
