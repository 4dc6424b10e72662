"""FEVE against closed forms, a loop over images and simulations with known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.response_model.reliability import feve, variances

RAGGED = np.repeat(np.arange(60), np.resize([2, 3, 5, 9], 60))


def test_a_perfect_prediction_scores_one_and_the_best_constant_zero():
    # One trial of each image is off by 1: its squared error is the unbiased variance of the repeats.
    means = np.random.default_rng(0).normal(0, 3, (60, 4))
    observed = means[RAGGED]
    observed[np.unique(RAGGED, return_index=True)[1]] += 1
    np.testing.assert_allclose(feve(means[RAGGED], observed, RAGGED), 1)
    constant = np.broadcast_to(observed.mean(0), observed.shape)
    np.testing.assert_allclose(feve(constant, observed, RAGGED), 0, atol=1e-12)
    assert (feve(constant + 1, observed, RAGGED) < 0).all()


def test_ragged_repeats_equal_a_loop_over_images():
    rng = np.random.default_rng(1)
    image = np.concatenate([[5] * 2, [0] * 7, [9] * 3, [2]])  # the last one is shown once
    observed, predicted = rng.gamma(1, 2, (13, 3)) + image[:, None], rng.gamma(1, 2, (13, 3)) + image[:, None]
    order = rng.permutation(13)
    groups = [observed[image == i] for i in (5, 0, 9)]
    noise = sum(len(g) * g.var(0, ddof=1) for g in groups) / 12
    variance, error = observed[:12].var(0), ((predicted - observed)[:12] ** 2).mean(0)
    expected = 1 - (error - noise) / (variance - noise)
    np.testing.assert_allclose(feve(predicted[order], observed[order], image[order]), expected)


def test_expectation_is_the_truth_although_noise_and_repeats_differ_between_images():
    rng = np.random.default_rng(2)
    neurons = 4000
    means, wrong = rng.normal(0, 1, 60), rng.normal(0, 0.6, 60)
    noise = 0.3 + np.abs(means) * np.resize([0.2, 1.5, 0.8], 60)
    observed = means[RAGGED, None] + noise[RAGGED, None] * rng.normal(size=(len(RAGGED), neurons))
    total, found = variances(observed, RAGGED)
    assert found.mean() == pytest.approx(np.mean(noise[RAGGED] ** 2), rel=0.01)
    predicted = np.broadcast_to((means + wrong)[RAGGED, None], observed.shape)
    error = np.square(predicted - observed).mean(0)
    assert (error - found).mean() == pytest.approx(np.mean(wrong[RAGGED] ** 2), rel=0.02)
    truth = 1 - np.mean(wrong[RAGGED] ** 2) / means[RAGGED].var()
    # The constant that is subtracted is fitted to the trials: it takes 1/T of the noise along.
    assert (total - found).mean() == pytest.approx(means[RAGGED].var(), rel=0.02)
    assert np.nanmean(feve(predicted, observed, RAGGED)) == pytest.approx(truth, abs=0.03)


def test_neurons_with_little_to_explain_are_left_out():
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(300), 10)
    means = rng.normal(size=(300, 1)) * np.sqrt([0.05, 0.12, 0.18, 0.5, 0])
    observed = means[image] + rng.normal(size=(3000, 5)) * np.sqrt([0.95, 0.88, 0.82, 0.5, 0]) + 0.1
    np.testing.assert_array_equal(np.isnan(feve(means[image], observed, image)), [1, 1, 0, 0, 1])
    assert np.isnan(feve(observed, observed, np.arange(3000))).all()


@given(st.integers(0, 2**32), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_units_offset_and_order_of_trials_change_nothing(seed, scale, offset):
    rng = np.random.default_rng(seed)
    image = np.resize(np.arange(7), 30)
    observed = rng.normal(size=(7, 3))[image] + 0.5 * rng.normal(size=(30, 3))
    predicted = observed + rng.normal(size=(30, 3))
    order = rng.permutation(30)
    before = feve(predicted, observed, image)
    after = feve((predicted * scale + offset)[order], (observed * scale + offset)[order], image[order])
    close = np.abs(variances(observed, image)[1] / observed.var(0) - 0.85) < 1e-6
    np.testing.assert_allclose(after[~close], before[~close], rtol=1e-5, atol=1e-5)
