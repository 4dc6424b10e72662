"""How much of what a stimulus can explain of the responses a prediction does explain."""

import numpy as np

from neuroreg.response_model.repeats import average_repeats, repeated_trials

LEAST_EXPLAINABLE = 0.15  # of the variance; below it the ratio is noise (Cadena et al. 2019)


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
