"""Trial-to-trial variability of simulated responses; `calibration` sets its level."""

from dataclasses import dataclass

import numpy as np

SHARED = 0.5  # variance of the gain that neurons share over that of the gain of their own


@dataclass(frozen=True, eq=False)
class TrialNoise:
    """Gamma-distributed responses whose gain fluctuates, in part together with other neurons'.

    Deconvolved calcium responses are about gamma-distributed (Wei et al. 2020). Their variance grows with the
    mean as that of counted events does, and with the squared mean as a fluctuating gain makes it (Goris et
    al. 2014); part of the gain is shared (Rabinowitz et al. 2015), so that noise is correlated between
    neurons, which bounds what averaging over neurons can do.
    One level, at least 0, scales all of it; a neuron's own level is that times its noisiness.

    Attributes
    ----------
    noisiness
        float (N,), positive.
    loading
        float (K, N), columns of unit length: how each neuron follows the K shared fluctuations.
    fluctuation
        float (T, K), the shared fluctuations in each trial, standard normal.
    """

    noisiness: np.ndarray
    loading: np.ndarray
    fluctuation: np.ndarray

    def part(self, trials: np.ndarray, neurons: slice) -> "TrialNoise":
        """Return the noise of some trials, int (K,), of some neurons."""
        return TrialNoise(self.noisiness[neurons], self.loading[:, neurons], self.fluctuation[trials])

    def variance(self, mean: np.ndarray, level: float) -> np.ndarray:
        """Return the variance of responses of the given mean, float (T, N), over trials.

        With u the neuron's level, ``u (m + m^2)`` about the mean m, which a shared gain of variance
        ``SHARED u`` multiplies: ``u m + ((1 + u) (1 + SHARED u) - 1) m^2``.
        """
        own = level * self.noisiness
        return own * mean + ((1 + own) * (1 + SHARED * own) - 1) * mean**2

    def observe(self, mean: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
        """Return noisy responses, float32 (T, N): for the same draws a continuous function of the level.

        Parameters
        ----------
        mean
            float (T, N), positive.
        level
            At least 0.
        rng
            Fresh; the first neurons' draws do not depend on how many follow.
        """
        if level == 0:
            return mean.astype(np.float32)
        normal, exponential = rng.spawn(2)
        normal = normal.standard_normal(mean.T.shape, np.float32).T
        exponential = exponential.standard_exponential(mean.T.shape, np.float32).T
        own = (level * self.noisiness).astype(np.float32)
        spread = np.sqrt(np.log1p(SHARED * own))
        shared = (self.fluctuation @ self.loading).astype(np.float32)
        mean = mean * np.exp(spread * shared - spread**2 / 2)
        scale = own * (1 + mean)
        shape = mean / scale
        # A gamma variable of this shape is one of shape + 1, here by Wilson and Hilferty's cube of a normal
        # variable, times uniform^(1 / shape): the mean is right within 1 %, the variance within 3 %.
        third = 1 / (3 * np.sqrt(shape + 1))
        cube = np.maximum(1 - third**2 + third * normal, 0) ** 3
        return (scale * (shape + 1) * cube * np.exp(-exponential / shape)).astype(np.float32)
