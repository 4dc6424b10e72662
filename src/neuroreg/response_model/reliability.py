"""How far each neuron can be trusted: from its repeats (w), and from the model's predictions (v)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neuroreg.scans.reliability import (
    FEWEST_REPEATED,
    average_repeats,
    correlation_to_average,
    jackknife_oracle,
    repeated_trials,
    signal_to_noise_weight,
    single_trial_correlation,
)
from neuroreg.scans.scan import Scan

logger = logging.getLogger(__name__)
FEWEST_TEST_IMAGES = 3
"""Of two a correlation over single trials is 1 or -1, whatever the prediction; one's shows no tuning."""
LEAST_EXPLAINABLE = 0.15  # of the variance; below it the ratio is noise (Cadena et al. 2019)


@dataclass(frozen=True)
class PredictionScores:
    """How well responses are predicted: per neuron, float64 (N,); None where the scan has no usable repeats.

    Attributes
    ----------
    single_trial_correlation
        Correlation of prediction and observation over single held-out trials.
    correlation_to_average
        The same after averaging both sides over the repeats of each image.
    feve
        Fraction of explainable variance explained; NaN for a neuron with too little of it.
    oracle
        Jackknife oracle: what the other repeats of an image predict. Does not depend on the prediction.
    tier
        The held-out tier that the scores come from.
    """

    single_trial_correlation: np.ndarray
    correlation_to_average: np.ndarray | None
    feve: np.ndarray | None
    oracle: np.ndarray | None
    tier: str


@dataclass(frozen=True)
class NeuronQuality(PredictionScores):
    """The scores of a scan's response model and what weights its neurons, float64 (N,).

    Attributes
    ----------
    w
        Signal-to-noise weight from repeated images; ones without repeats.
    v
        Single-trial correlation, at least 0.
    """

    w: np.ndarray
    v: np.ndarray


def measure_neurons(
    scan: Scan,
    predict: Callable[[np.ndarray], np.ndarray],
    *,
    bias_correction: bool = False,
    log: Callable[[str], None] = logger.info,
) -> NeuronQuality:
    """Return the scores of a prediction and the weights of the neurons.

    w comes from the images repeated in the test tier, v from `score_predictions`. Without usable repeats, or
    if that tier scores no predictions, w is 1 for every neuron.

    Parameters
    ----------
    scan, predict, log
        See `score_predictions`.
    bias_correction
        See `signal_to_noise_weight`.
    """
    scores = score_predictions(scan, predict, log=log)
    if scores.oracle is None:
        log("no usable repeats: w = 1 for every neuron, so that only the predictions weight them")
        weight = np.ones_like(scores.single_trial_correlation)
    else:
        trials = scan.trials_of("test")
        responses, image = scan.responses[trials], scan.image[trials]
        weight = signal_to_noise_weight(responses, image, bias_correction=bias_correction)
    # A neuron predicted worse than by chance is noise: a negative weight would turn its response around.
    return NeuronQuality(**vars(scores), w=weight, v=np.maximum(scores.single_trial_correlation, 0))


def score_predictions(
    scan: Scan,
    predict: Callable[[np.ndarray], np.ndarray],
    *,
    log: Callable[[str], None] = logger.info,
) -> PredictionScores:
    """Return how well held-out responses of a scan are predicted.

    All scores come from the test tier. If that is missing, withheld or of fewer than `FEWEST_TEST_IMAGES`
    images, the validation tier takes its place, without the scores that need repeats; that one had a say in
    the fit, so that its correlations are slightly too high.

    Parameters
    ----------
    scan
        The scan that was predicted.
    predict
        Gives predicted responses, float (K, N), of the trials with the given indices, int (K,).
    log
        Gets one line for each thing that could not be measured as usual.
    """
    unusable = _why_no_test_tier(scan)
    tier = "validation" if unusable else "test"
    if unusable:
        log(f"{unusable}: correlations from the validation tier")
    trials = scan.trials_of(tier)
    observed, predicted, image = scan.responses[trials], predict(trials), scan.image[trials]
    single = single_trial_correlation(predicted, observed)
    repeats = repeated_trials(image)
    if tier != "test" or len(np.unique(image[repeats])) < FEWEST_REPEATED:
        return PredictionScores(single, None, None, None, tier)
    observed, predicted, image = observed[repeats], predicted[repeats], image[repeats]
    explained = feve(predicted, observed, image)
    left_out = int(np.isnan(explained).sum())
    if left_out:
        log(f"FEVE leaves out {left_out} of {len(explained)} neurons: explainable variance below 15 %")
    to_average = correlation_to_average(predicted, observed, image)
    return PredictionScores(single, to_average, explained, jackknife_oracle(observed, image), tier)


def _why_no_test_tier(scan: Scan) -> str | None:
    """Return what keeps the test tier from scoring predictions, None if nothing does."""
    if "test" in scan.withheld_tiers():
        return "test tier withheld (all responses exactly 0)"
    images = len(np.unique(scan.image[scan.tier == "test"]))
    if not images:
        return "test tier missing"
    if images < FEWEST_TEST_IMAGES:
        return f"test tier of {images} different images, fewer than {FEWEST_TEST_IMAGES}"
    return None


def feve(predicted: np.ndarray, observed: np.ndarray, image_index: np.ndarray) -> np.ndarray:
    """Return each neuron's fraction of explainable variance explained (Cadena et al. 2019).

    ``FEVE = 1 - (MSE - noise variance) / (variance - noise variance)``: 1 for a prediction that lacks nothing
    but the noise, 0 for the best constant, below 0 for a worse one.

    Parameters
    ----------
    predicted, observed
        float (T, N), in the same units.
    image_index
        int (T,), which image each trial showed. Images shown once are ignored; repeats may be ragged.

    Returns
    -------
    numpy.ndarray
        float64 (N,), at most a little above 1 by chance; NaN where the explainable share of the variance,
        ``(variance - noise variance) / variance``, is below 0.15, and everywhere if no image is repeated.
    """
    trials = repeated_trials(image_index)
    result = np.full(observed.shape[1], np.nan)
    if not len(trials):
        return result
    predicted, observed = (np.asarray(values, np.float64)[trials] for values in (predicted, observed))
    total, noise = variances(observed, image_index[trials])
    error = np.square(predicted - observed).mean(0)
    # Rounding leaves a constant neuron with a variance of about eps^2 times its square.
    varies = total > 1e-24 * np.square(observed).mean(0)
    explainable = varies & (total - noise >= LEAST_EXPLAINABLE * total)
    return np.divide(total - error, total - noise, out=result, where=explainable)


def variances(observed: np.ndarray, image_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each neuron's total and noise variance over trials of repeated images.

    The noise variance is the mean over trials of the unbiased variance among the repeats of the trial's
    image: images count by their number of trials, as they do in a mean squared error, so that ragged repeats
    do not bias the difference. Its only bias is that of a population variance, noise / T.

    Parameters
    ----------
    observed
        float (T, N).
    image_index
        int (T,), which image each trial showed, each at least twice.

    Returns
    -------
    total, noise : numpy.ndarray
        float64 (N,), at least 0.
    """
    observed = np.asarray(observed, np.float64)
    means, inverse, counts = average_repeats(observed, image_index)
    unbiased = (counts / (counts - 1))[inverse]
    noise = np.einsum("t,tn->n", unbiased, np.square(observed - means[inverse])) / len(observed)
    return observed.var(0), noise


def fraction_of_oracle(scores: np.ndarray, oracle: np.ndarray) -> float | None:
    """Return the slope, without offset, of neurons' single-trial correlations against their oracles.

    The lab's definition (Sinz et al. 2018, Lurz et al. 2021): the least-squares line through the origin, so
    that reliable neurons count more.

    Parameters
    ----------
    scores, oracle
        float (N,).

    Returns
    -------
    float or None
        None if every oracle is 0.
    """
    scores, oracle = np.asarray(scores, np.float64), np.asarray(oracle, np.float64)
    energy = oracle @ oracle
    return float(scores @ oracle / energy) if energy > 0 else None


def mean_score(values: Sequence[float | None] | np.ndarray | None) -> float | None:
    """Return the mean over the neurons that have the score (neither None nor NaN), None if none has."""
    values = np.array([] if values is None else values, np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None  # type: ignore[union-attr]
