"""How far each neuron can be trusted: from its repeats (w), and from the model's predictions (v)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neuroreg.response_model.explained_variance import feve
from neuroreg.response_model.repeats import average_repeats, repeated_trials
from neuroreg.scans.scan import Scan

logger = logging.getLogger(__name__)


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


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each column, (N,), of a and b (T, N); 0 where one is constant."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if len(a) < 2:
        return np.zeros(a.shape[1])
    deviations, norms = [], []
    for x in (a, b):
        centred = x - x.mean(0)
        norm = np.sqrt(np.square(centred).sum(0))
        # The mean of equal numbers may be off by a rounding, which must not pass for a signal.
        norm[x.max(0) == x.min(0)] = 0
        deviations.append(centred)
        norms.append(norm)
    product = norms[0] * norms[1]
    covariance = np.einsum("tn,tn->n", *deviations)
    return np.clip(np.divide(covariance, product, out=np.zeros_like(product), where=product > 0), -1, 1)


def signal_to_noise_weight(
    responses: np.ndarray, image_index: np.ndarray, *, bias_correction: bool = False
) -> np.ndarray:
    """Return each neuron's reliability w = sigma / eta from repeated images (Li et al. 2019, main text).

    ``sigma^2 = Var_i(E_t)`` and ``eta^2 = E_i(Var_t)``, population variances. A mean of n trials keeps 1/n of
    the noise, so that pure noise still gets w = 1/3 at 10 repeats. With `bias_correction` the variances are
    the unbiased ones and ``eta^2 mean_i(1 / n_i)`` is subtracted from sigma^2, floored at 0.

    Parameters
    ----------
    responses
        float (T, N).
    image_index
        int (T,), which image each trial showed. Images shown once are ignored; repeats may be ragged.
    bias_correction
        Subtract the noise's share of sigma^2.

    Returns
    -------
    numpy.ndarray
        float64 (N,), finite, at least 0; 0 for a neuron whose noise cannot be measured (eta = 0). Ones if no
        image is repeated, or only one with `bias_correction`.
    """
    trials = repeated_trials(image_index)
    responses = np.asarray(responses, np.float64)[trials]
    ddof = int(bias_correction)
    if len(np.unique(image_index[trials])) < 1 + ddof:
        return np.ones(responses.shape[1])
    means, inverse, counts = average_repeats(responses, image_index[trials])
    spread, _, _ = average_repeats(np.square(responses - means[inverse]), inverse)
    noise = (spread * (counts / (counts - ddof))[:, None]).mean(0)
    signal = means.var(0, ddof=ddof)
    if bias_correction:
        signal = np.maximum(signal - noise * (1 / counts).mean(), 0)
    # Rounding leaves a constant neuron with a noise of about eps^2 times its square.
    usable = noise > 1e-24 * np.square(responses).mean(0)
    return np.sqrt(np.divide(signal, noise, out=np.zeros_like(signal), where=usable))


def single_trial_correlation(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return each neuron's correlation of prediction and observation over trials.

    Parameters
    ----------
    predicted, observed
        float (T, N).

    Returns
    -------
    numpy.ndarray
        float64 (N,); 0 for a constant neuron.
    """
    return correlation(predicted, observed)


def correlation_to_average(
    predicted: np.ndarray, observed: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """Return each neuron's correlation after averaging both sides over the repeats of each image.

    Parameters
    ----------
    predicted, observed
        float (T, N).
    image_index
        int (T,), which image each trial showed.

    Returns
    -------
    numpy.ndarray
        float64 (N,); 0 for a constant neuron.
    """
    return correlation(average_repeats(predicted, image_index)[0], average_repeats(observed, image_index)[0])


def jackknife_oracle(observed: np.ndarray, image_index: np.ndarray) -> np.ndarray:
    """Return each neuron's correlation of a trial with the mean of the image's other trials.

    A ceiling for single-trial prediction that underestimates the true one, because the mean of few others is
    noisy itself.

    Parameters
    ----------
    observed
        float (T, N).
    image_index
        int (T,), which image each trial showed. Images shown once are ignored; repeats may be ragged.

    Returns
    -------
    numpy.ndarray
        float64 (N,); 0 for a constant neuron and where no image is repeated.
    """
    trials = repeated_trials(image_index)
    if not len(trials):
        return np.zeros(observed.shape[1])
    observed = np.asarray(observed, np.float64)[trials]
    means, inverse, counts = average_repeats(observed, image_index[trials])
    n = counts[inverse][:, None]
    others = (means[inverse] * n - observed) / (n - 1)
    others[:, observed.max(0) == observed.min(0)] = 0
    return correlation(observed, others)


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
    return float(values.mean()) if len(values) else None


def score_predictions(
    scan: Scan,
    predict: Callable[[np.ndarray], np.ndarray],
    *,
    log: Callable[[str], None] = logger.info,
) -> PredictionScores:
    """Return how well held-out responses of a scan are predicted.

    All scores come from the test tier. If that is missing or withheld, the validation tier takes its place,
    without the scores that need repeats; that one had a say in the fit, so that its correlations are slightly
    too high.

    Parameters
    ----------
    scan
        The scan that was predicted.
    predict
        Gives predicted responses, float (K, N), of the trials with the given indices, int (K,).
    log
        Gets one line for each thing that could not be measured as usual.
    """
    tier = held_out_tier(scan)
    if tier != "test":
        log("test tier missing or withheld (all responses exactly 0): correlations from the validation tier")
    trials = scan.trials_of(tier)
    observed, predicted, image = scan.responses[trials], predict(trials), scan.image[trials]
    single = single_trial_correlation(predicted, observed)
    repeats = repeated_trials(image)
    if tier != "test" or not len(repeats):
        return PredictionScores(single, None, None, None, tier)
    observed, predicted, image = observed[repeats], predicted[repeats], image[repeats]
    explained = feve(predicted, observed, image)
    left_out = int(np.isnan(explained).sum())
    if left_out:
        log(f"FEVE leaves out {left_out} of {len(explained)} neurons: explainable variance below 15 %")
    to_average = correlation_to_average(predicted, observed, image)
    return PredictionScores(single, to_average, explained, jackknife_oracle(observed, image), tier)


def held_out_tier(scan: Scan) -> str:
    """Return the tier that scores come from: test, or validation if test is missing or withheld."""
    usable = np.any(scan.tier == "test") and "test" not in scan.withheld_tiers()
    return "test" if usable else "validation"


def measure_neurons(
    scan: Scan,
    predict: Callable[[np.ndarray], np.ndarray],
    *,
    bias_correction: bool = False,
    log: Callable[[str], None] = logger.info,
) -> NeuronQuality:
    """Return the scores of a prediction and the weights of the neurons.

    w comes from the images repeated in the test tier, v from `score_predictions`. Without usable repeats w is
    1 for every neuron.

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
