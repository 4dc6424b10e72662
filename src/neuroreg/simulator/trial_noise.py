"""Trial-to-trial variability of simulated responses; `calibration` sets its levels."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NoiseLevels:
    """How much neurons vary from trial to trial.

    Attributes
    ----------
    private
        At least 0; the variance of a weak response over its mean that a neuron of average noisiness has of
        its own.
    shared
        At least 0; what neurons share: its variance over that which images cause in the mean responses.
    """

    private: float
    shared: float


@dataclass(frozen=True, eq=False)
class TrialNoise:
    """Gamma-distributed responses whose gain fluctuates, in part together with other neurons'.

    Deconvolved calcium responses are about gamma-distributed (Wei et al. 2020). Their variance grows with the
    mean as that of counted events does, and with the squared mean as a fluctuating gain makes it (Goris et
    al. 2014); part of the gain is shared (Rabinowitz et al. 2015).
    Neurons that like the same images share most, as in recordings (Cohen & Kohn 2011), and what they share is
    as strong in each of them as its tuning: the population fluctuates in the directions in which images move
    it. Such noise bounds what averaging over neurons can do, as it does in mouse V1 (Rumyantsev et al. 2020);
    private noise, or noise shared in other directions, loses its weight as neurons are added.

    Attributes
    ----------
    noisiness
        float (N,), positive: private noise of each neuron relative to the scan's level.
    depth
        float (N,), at least 0: standard deviation over images of each neuron's mean response, over its mean.
    loading
        float (K, N), columns of unit length: how each neuron follows the K shared fluctuations.
    fluctuation
        float (T, K), the shared fluctuations in each trial, standard normal.
    """

    noisiness: np.ndarray
    depth: np.ndarray
    loading: np.ndarray
    fluctuation: np.ndarray

    def part(self, trials: np.ndarray, neurons: slice) -> "TrialNoise":
        """Return the noise of some trials, int (K,), of some neurons."""
        return TrialNoise(
            self.noisiness[neurons], self.depth[neurons], self.loading[:, neurons], self.fluctuation[trials]
        )

    def variance(self, mean: np.ndarray, levels: NoiseLevels) -> np.ndarray:
        """Return the variance of responses of the given mean, float (T, N), over trials.

        With p the neuron's private level, ``p (m + m^2)`` about the mean m, which a shared gain of variance s
        multiplies: ``p m + ((1 + p) (1 + s) - 1) m^2``.
        """
        private, shared = self._of_neurons(levels)
        return private * mean + ((1 + private) * (1 + shared) - 1) * mean**2

    def observe(self, mean: np.ndarray, levels: NoiseLevels, rng: np.random.Generator) -> np.ndarray:
        """Return noisy responses, float32 (T, N): for the same draws a continuous function of the levels.

        Parameters
        ----------
        mean
            float (T, N), positive.
        levels
            0 and 0 leave the mean.
        rng
            Fresh; the first neurons' draws do not depend on how many follow.
        """
        private, shared = (level.astype(np.float32) for level in self._of_neurons(levels))
        if levels.shared > 0:
            spread = np.sqrt(np.log1p(shared))
            log_gain = (self.fluctuation @ self.loading).astype(np.float32)
            mean = mean * np.exp(spread * log_gain - spread**2 / 2)
        if levels.private == 0:
            return mean.astype(np.float32)
        normal, exponential = rng.spawn(2)
        normal = normal.standard_normal(mean.T.shape, np.float32).T
        exponential = exponential.standard_exponential(mean.T.shape, np.float32).T
        scale = private * (1 + mean)
        shape = mean / scale
        # A gamma variable of this shape is one of shape + 1, here by Wilson and Hilferty's cube of a normal
        # variable, times uniform^(1 / shape): the mean is right within 1 %, the variance within 3 %.
        third = 1 / (3 * np.sqrt(shape + 1))
        cube = np.maximum(1 - third**2 + third * normal, 0) ** 3
        return (scale * (shape + 1) * cube * np.exp(-exponential / shape)).astype(np.float32)

    def _of_neurons(self, levels: NoiseLevels) -> tuple[np.ndarray, np.ndarray]:
        """Return each neuron's private level and the variance of its shared gain, float (N,) each."""
        return levels.private * self.noisiness, levels.shared * self.depth**2


def tuned_loading(expected: np.ndarray) -> np.ndarray:
    """Return loadings with which neurons share noise as they share their responses to images.

    Parameters
    ----------
    expected
        float (K, N), mean responses to K images.

    Returns
    -------
    numpy.ndarray
        float32 (K, N), columns of unit length: the product of two columns is the correlation of the two
        neurons over the images. A neuron that answers to all images alike follows the K fluctuations equally.
    """
    deviation = expected - expected.mean(axis=0, dtype=np.float64)
    deviation[:, expected.max(axis=0) == expected.min(axis=0)] = 1
    return (deviation / np.linalg.norm(deviation, axis=0)).astype(np.float32)
