"""Noise of simulated neurons against its closed forms and SciPy's gamma distribution."""

import numpy as np
import pytest
from scipy import stats

from neuroreg.simulator.trial_noise import SHARED, TrialNoise

TRIALS = 4000


def trial_noise(neurons, shared=True, seed=0):
    rng = np.random.default_rng(seed)
    loading = rng.normal(size=(4, neurons))
    loading /= np.linalg.norm(loading, axis=0)
    fluctuation = rng.normal(size=(TRIALS, 4))
    # Without shared fluctuations the gain is a constant, which `alone` undoes.
    return TrialNoise(np.ones(neurons), loading, fluctuation if shared else np.zeros((TRIALS, 4)))


@pytest.mark.parametrize("mean", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("level", [0.05, 0.7, 3.0])
def test_mean_and_variance_are_those_stated(mean, level):
    noise = trial_noise(200)
    means = np.full((TRIALS, 200), mean)
    observed = noise.observe(means, level, np.random.default_rng(1))
    variance = noise.variance(means, level)[0, 0]
    assert observed.dtype == np.float32
    assert observed.min() >= 0
    assert observed.mean() == pytest.approx(mean, rel=0.03)
    assert np.median(observed.var(axis=0)) == pytest.approx(variance, rel=0.15)
    closed = level * mean + ((1 + level) * (1 + SHARED * level) - 1) * mean**2
    assert variance == pytest.approx(closed)


@pytest.mark.parametrize("shape", [0.05, 0.3, 1.0, 10.0])
def test_responses_are_gamma_distributed(shape):
    level, neurons = 0.5, 5
    mean = 1 / (1 / (shape * level) - 1) if shape * level < 1 else None
    if mean is None:  # shape = m / (level (1 + m)) stays below 1 / level
        level = 0.05
        mean = 1 / (1 / (shape * level) - 1)
    noise = trial_noise(neurons, shared=False)
    alone = np.exp(np.log1p(SHARED * level) / 2)  # undoes the shared gain's normalisation
    observed = noise.observe(np.full((TRIALS, neurons), mean * alone), level, np.random.default_rng(2))
    distance = stats.kstest(observed.ravel(), stats.gamma(shape, scale=level * (1 + mean)).cdf).statistic
    assert distance < 0.02  # chance alone: 0.0096 at p = 0.05


def test_shared_noise_correlates_neurons_as_their_loadings_do():
    noise = trial_noise(20, seed=3)
    observed = noise.observe(np.full((TRIALS, 20), 50.0), 0.2, np.random.default_rng(4))
    correlations = np.corrcoef(observed.T)[np.triu_indices(20, 1)]
    loadings = (noise.loading.T @ noise.loading)[np.triu_indices(20, 1)]
    assert np.corrcoef(correlations, loadings)[0, 1] > 0.95


def test_the_same_draws_give_a_continuous_function_of_the_level():
    noise, mean = trial_noise(30), np.full((TRIALS, 30), 1.5)

    def observe(level):
        return noise.observe(mean, level, np.random.default_rng(5))

    near, far = (np.abs(observe(1 + step) - observe(1.0)).mean() for step in (1e-4, 1e-2))
    assert near < 0.02 * far * 1.5
    assert np.array_equal(observe(0.0), mean.astype(np.float32))
    assert np.abs(observe(1e-6) - mean).max() < 0.05


def test_a_part_is_the_same_noise_of_fewer():
    noise, mean = trial_noise(30), np.full((TRIALS, 30), 1.5)
    whole = noise.observe(mean, 1.0, np.random.default_rng(6))
    part = noise.part(np.arange(TRIALS), slice(0, 7)).observe(mean[:, :7], 1.0, np.random.default_rng(6))
    np.testing.assert_allclose(part, whole[:, :7], rtol=1e-6)
