"""Noise of simulated neurons against its closed forms and SciPy's gamma distribution."""

import numpy as np
import pytest
from scipy import stats

from neuroreg.simulator.trial_noise import NoiseLevels, TrialNoise, tuned_loading

TRIALS = 4000
DEPTH = 0.7  # of all neurons here


def trial_noise(neurons, seed=0):
    rng = np.random.default_rng(seed)
    loading = rng.normal(size=(4, neurons))
    loading /= np.linalg.norm(loading, axis=0)
    return TrialNoise(np.ones(neurons), np.full(neurons, DEPTH), loading, rng.normal(size=(TRIALS, 4)))


@pytest.mark.parametrize("mean", [0.1, 1.0, 5.0])
@pytest.mark.parametrize(
    ("private", "shared"), [(0.05, 0.02), (0.7, 0.7), (3.0, 0.0), (0.0, 1.0), (0.2, 3.0)]
)
def test_mean_and_variance_are_those_stated(mean, private, shared):
    noise, levels = trial_noise(200), NoiseLevels(private, shared)
    means = np.full((TRIALS, 200), mean)
    observed = noise.observe(means, levels, np.random.default_rng(1))
    variance = noise.variance(means, levels)[0, 0]
    assert observed.dtype == np.float32
    assert observed.min() >= 0
    assert observed.mean() == pytest.approx(mean, rel=0.03)
    assert np.median(observed.var(axis=0)) == pytest.approx(variance, rel=0.15)
    closed = private * mean + ((1 + private) * (1 + shared * DEPTH**2) - 1) * mean**2
    assert variance == pytest.approx(closed)


def test_shared_noise_has_the_stated_share_of_what_images_cause():
    # Neurons of known tuning: level 1 makes shared variance equal to that of the mean responses over images.
    rng = np.random.default_rng(7)
    expected = rng.gamma(3.0, 1.0, (40, 30))
    noise = TrialNoise(
        np.ones(30),
        expected.std(axis=0) / expected.mean(axis=0),
        tuned_loading(expected),
        rng.normal(size=(TRIALS, 40)),
    )
    mean = np.repeat(expected.mean(axis=0)[np.newaxis], TRIALS, axis=0)
    for level in (0.3, 1.0):
        observed = noise.observe(mean, NoiseLevels(0.0, level), rng)
        ratio = observed.var(axis=0, dtype=np.float64) / expected.var(axis=0)
        assert np.mean(ratio) == pytest.approx(level, rel=0.05)


@pytest.mark.parametrize("shape", [0.05, 0.3, 1.0, 10.0])
def test_responses_are_gamma_distributed(shape):
    level, neurons = 0.5, 5
    mean = 1 / (1 / (shape * level) - 1) if shape * level < 1 else None
    if mean is None:  # shape = m / (level (1 + m)) stays below 1 / level
        level = 0.05
        mean = 1 / (1 / (shape * level) - 1)
    means = np.full((TRIALS, neurons), mean)
    observed = trial_noise(neurons).observe(means, NoiseLevels(level, 0.0), np.random.default_rng(2))
    distance = stats.kstest(observed.ravel(), stats.gamma(shape, scale=level * (1 + mean)).cdf).statistic
    assert distance < 0.02  # chance alone: 0.0096 at p = 0.05


def test_shared_noise_correlates_neurons_as_their_loadings_do():
    noise = trial_noise(20, seed=3)
    levels = NoiseLevels(0.02, 0.2)
    observed = noise.observe(np.full((TRIALS, 20), 50.0), levels, np.random.default_rng(4))
    correlations = np.corrcoef(observed.T)[np.triu_indices(20, 1)]
    loadings = (noise.loading.T @ noise.loading)[np.triu_indices(20, 1)]
    assert np.corrcoef(correlations, loadings)[0, 1] > 0.95


def test_loadings_are_as_alike_as_responses_to_images():
    expected = np.random.default_rng(8).gamma(2.0, 1.0, (50, 12)).astype(np.float32)
    loading = tuned_loading(expected)
    assert loading.dtype == np.float32
    np.testing.assert_allclose(loading.T @ loading, np.corrcoef(expected.T), atol=1e-5)
    expected[:, 3] = 2.5  # prefers no image
    loading = tuned_loading(expected)
    np.testing.assert_allclose(np.linalg.norm(loading, axis=0), 1, rtol=1e-5)
    assert np.ptp(loading[:, 3]) == 0


def test_the_same_draws_give_a_continuous_function_of_the_levels():
    noise, mean = trial_noise(30), np.full((TRIALS, 30), 1.5)

    def observe(private, shared):
        return noise.observe(mean, NoiseLevels(private, shared), np.random.default_rng(5))

    for private, shared in ((1, 0), (0, 1)):
        near, far = (
            np.abs(observe(1 + step * private, 0.5 + step * shared) - observe(1.0, 0.5)).mean()
            for step in (1e-4, 1e-2)
        )
        assert 0 < near < 0.02 * far * 1.5
    assert np.array_equal(observe(0.0, 0.0), mean.astype(np.float32))
    assert np.abs(observe(1e-6, 1e-6) - mean).max() < 0.05
    np.testing.assert_allclose(observe(0.3, 1e-9), observe(0.3, 0.0), rtol=1e-3)


def test_a_part_is_the_same_noise_of_fewer():
    noise, mean, levels = trial_noise(30), np.full((TRIALS, 30), 1.5), NoiseLevels(1.0, 0.5)
    whole = noise.observe(mean, levels, np.random.default_rng(6))
    part = noise.part(np.arange(TRIALS), slice(0, 7)).observe(mean[:, :7], levels, np.random.default_rng(6))
    np.testing.assert_allclose(part, whole[:, :7], rtol=1e-6)
