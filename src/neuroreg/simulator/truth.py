"""What is known of a simulated scan and of no recorded one: for tests, never for the workflow."""

from dataclasses import dataclass

import numpy as np

from neuroreg.files.records import dataset
from neuroreg.scans.reliability import average_repeats, repeated_trials


@dataclass(frozen=True, eq=False)
class SimulatedTruth:
    """The truth behind a simulated scan.

    Attributes
    ----------
    key
        str (P,), the stimuli.
    expected
        float32 (P, N): the mean response of each neuron to each stimulus, at average behaviour and with the
        pupil at rest.
    noise, shared_noise
        Levels of private and of shared noise, see `neuroreg.simulator.trial_noise.NoiseLevels`.
    w
        float64 (N,): signal-to-noise weight over the oracle images, see `true_weight`.
    v
        float64 (N,): correlation over oracle trials of an ideal prediction, which knows everything but the
        noise, with the observed responses.
    """

    KIND = "simulated_truth"  # which no reader of the workflow opens

    key: np.ndarray = dataset("key", np.str_, "P")
    expected: np.ndarray = dataset("expected", np.float32, "P", "N")
    noise: float = dataset("noise", np.float64, pack=float)
    shared_noise: float = dataset("shared_noise", np.float64, pack=float)
    w: np.ndarray = dataset("w", np.float64, "N")
    v: np.ndarray = dataset("v", np.float64, "N")


def true_weight(mean: np.ndarray, variance: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the weight w that bias-corrected repeats measure but for chance, whatever their number.

    The noise has two parts: the variance of noise, and what behaviour and the pupil change from repeat to
    repeat. Of the variance over images of the repeats' mean, the second part's share is no signal.

    Parameters
    ----------
    mean, variance
        float (T, N), of each trial's response, given behaviour and pupil position.
    image
        int (T,), which image each trial showed; those shown once are left out.

    Returns
    -------
    numpy.ndarray
        float64 (N,); NaN if fewer than two images are repeated.
    """
    trials = repeated_trials(image)
    if len(np.unique(image[trials])) < 2:
        return np.full(mean.shape[1], np.nan)
    means, inverse, counts = average_repeats(mean[trials], image[trials])
    spread, _, _ = average_repeats(np.square(mean[trials] - means[inverse]), inverse)
    behavior = spread * (counts / (counts - 1))[:, None]
    signal = means.var(0, ddof=1) - (behavior / counts[:, None]).mean(0)
    noise = (behavior + average_repeats(variance[trials], inverse)[0]).mean(0)
    return np.sqrt(np.maximum(signal, 0) / noise)


def ideal_correlation(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the expected correlation, float64 (N,), of responses with their means, over trials.

    Parameters
    ----------
    mean, variance
        float (T, N), of each trial's response.
    """
    signal = mean.var(0, dtype=np.float64)
    return np.sqrt(signal / (signal + variance.mean(0, dtype=np.float64)))
