"""How reliably neurons answer, measured on trials that showed the same image: arrays in, arrays out."""

from collections.abc import Callable

import numpy as np

FEWEST_REPEATED = 2
"""Images: a single one's repeats have no variance over images, and cannot correlate."""
_CONSTANT = 1e-6  # of the largest value: what rounding of float32 may leave
_SMALLEST_DEVIATION = 0.01  # of the mean over neurons, as in the lab's loaders
_BLOCK = 512  # neurons at once: bounds the memory of a copy in double precision


def by_blocks(
    measure: Callable[[np.ndarray], np.ndarray], responses: np.ndarray, block: int = _BLOCK
) -> np.ndarray:
    """Return what `measure` says of each neuron, asked for `block` of them at a time.

    Parameters
    ----------
    measure
        Responses (T, n) to one number for each neuron, (n,).
    responses
        Float (T, N), N at least 1.
    block
        At most so many neurons are handed over at once.
    """
    starts = range(0, responses.shape[1], block)
    return np.concatenate([measure(responses[:, start : start + block]) for start in starts])


def deviation_or_one(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return standard deviations to divide by, float (...) without `axis`: 1 for what is constant."""
    deviation = values.std(axis)
    return np.where(deviation > _CONSTANT * np.abs(values).max(axis), deviation, 1)


def response_deviation(responses: np.ndarray) -> np.ndarray:
    """Return the standard deviation by which each neuron's responses are divided.

    Where it is less than a hundredth of the mean over neurons that hundredth is taken, as the lab's loaders
    do (class NeuroNormalizer of neuralpredictors), so that a neuron that hardly ever answers is not blown up.

    Parameters
    ----------
    responses
        float (T, N).

    Returns
    -------
    numpy.ndarray
        float64 (N,), positive, in the units of the responses; ones if every neuron is constant.
    """
    deviation = by_blocks(lambda block: block.std(0, dtype=np.float64), responses)
    # Rounding leaves a constant neuron with a deviation of about eps times its level.
    deviation[responses.max(0) == responses.min(0)] = 0
    deviation = np.maximum(deviation, _SMALLEST_DEVIATION * deviation.mean())
    return np.where(deviation > 0, deviation, 1)


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
    the unbiased ones and ``mean_i(Var_t / n_i)``, what they add to sigma^2, is subtracted; floored at 0.

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
        float64 (N,), finite, at least 0; 0 for a neuron whose noise cannot be measured (eta = 0). Ones if
        fewer than two images are repeated.
    """
    trials = repeated_trials(image_index)
    responses = np.asarray(responses, np.float64)[trials]
    ddof = int(bias_correction)
    if len(np.unique(image_index[trials])) < FEWEST_REPEATED:
        return np.ones(responses.shape[1])
    means, inverse, counts = average_repeats(responses, image_index[trials])
    spread, _, _ = average_repeats(np.square(responses - means[inverse]), inverse)
    variance = spread * (counts / (counts - ddof))[:, None]
    noise = variance.mean(0)
    signal = means.var(0, ddof=ddof)
    if bias_correction:
        signal = np.maximum(signal - (variance / counts[:, None]).mean(0), 0)
    # Rounding leaves a constant neuron with a noise of about eps^2 times its square.
    usable = noise > 1e-24 * np.square(responses).mean(0)
    return np.sqrt(np.divide(signal, noise, out=np.zeros_like(signal), where=usable))


def single_trial_correlation(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return each neuron's correlation over trials, float64 (N,), of two float (T, N); 0 where constant."""
    return correlation(predicted, observed)


def correlation_to_average(
    predicted: np.ndarray, observed: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """Return `single_trial_correlation` of both sides' averages over the repeats of each image, int (T,)."""
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
        float64 (N,); 0 for a constant neuron and where fewer than two images are repeated.
    """
    trials = repeated_trials(image_index)
    if len(np.unique(image_index[trials])) < FEWEST_REPEATED:
        return np.zeros(observed.shape[1])
    observed = np.asarray(observed, np.float64)[trials]
    means, inverse, counts = average_repeats(observed, image_index[trials])
    n = counts[inverse][:, None]
    others = (means[inverse] * n - observed) / (n - 1)
    others[:, observed.max(0) == observed.min(0)] = 0
    return correlation(observed, others)
