"""Reliability of neurons and FEVE against closed forms, loops, numpy.corrcoef and known truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.response_model.reliability import (
    feve,
    fraction_of_oracle,
    mean_score,
    measure_neurons,
    variances,
)
from neuroreg.scans.reliability import (
    average_repeats,
    correlation,
    correlation_to_average,
    jackknife_oracle,
    signal_to_noise_weight,
    single_trial_correlation,
)
from neuroreg.scans.scan import Scan

RAGGED = np.repeat(np.arange(60), np.resize([2, 3, 5, 9], 60))


def repeats(rng, signal, noise, images=200, n=10, neurons=300):
    """Normal responses with the given standard deviations, and the image of each trial."""
    means = rng.normal(0, signal, (images, neurons))
    image = np.repeat(np.arange(images), n)
    return means[image] + rng.normal(0, noise, (len(image), neurons)), image


def make_scan(rng, *, withhold=False, repeated=True, neurons=6):
    image = np.concatenate([np.arange(20), np.repeat(np.arange(20, 30), 4 if repeated else 1)])
    tier = np.where(image < 14, "train", np.where(image < 20, "validation", "test"))
    responses = rng.gamma(2.0, 1.0, (30, neurons))[image] + rng.gamma(1.0, 0.5, (len(image), neurons))
    if withhold:
        responses[tier == "test"] = 0
    return Scan(
        images=rng.integers(0, 256, (30, 36, 64), np.uint8),
        key=np.array([f"c/{i}" for i in range(30)]),
        image=image.astype(np.int64),
        tier=tier,
        responses=responses.astype(np.float32),
        behavior=rng.normal(size=(len(image), 3)).astype(np.float32),
        pupil_center=rng.normal(size=(len(image), 2)).astype(np.float32),
        unit_id=np.arange(neurons, dtype=np.int64),
    )


def test_weight_has_its_closed_form():
    # Every image has the trials m - d and m + d: eta = d, and sigma is the spread of the m.
    means, deviation = np.array([1.0, 2.0, 6.0]), 0.5
    responses = np.array([[m + sign * deviation] for m in means for sign in (-1, 1)])
    image = np.repeat([7, 3, 11], 2)
    assert signal_to_noise_weight(responses, image) == pytest.approx(means.std() / deviation)
    unbiased_noise = 2 * deviation**2
    corrected = np.sqrt((means.var(ddof=1) - unbiased_noise / 2) / unbiased_noise)
    assert signal_to_noise_weight(responses, image, bias_correction=True) == pytest.approx(corrected)


def test_weight_of_ragged_repeats_equals_a_loop_and_ignores_single_trials():
    rng = np.random.default_rng(0)
    image = np.concatenate([[0] * 2, [1] * 5, [2] * 3, [3]])
    responses = rng.gamma(1.0, 1.0, (len(image), 4))
    groups = [responses[image == i] for i in range(3)]
    sigma = np.std([g.mean(0) for g in groups], axis=0)
    eta = np.sqrt(np.mean([g.var(0) for g in groups], axis=0))
    order = rng.permutation(len(image))
    np.testing.assert_allclose(signal_to_noise_weight(responses[order], image[order]), sigma / eta)
    responses[:10] += image[:10, None] * 5
    noise = np.mean([g.var(0, ddof=1) for g in groups], axis=0)
    total = np.var([g.mean(0) + 5 * i for i, g in enumerate(groups)], axis=0, ddof=1)
    left = np.mean([g.var(0, ddof=1) / len(g) for g in groups], axis=0)
    expected = np.sqrt((total - left) / noise)
    np.testing.assert_allclose(signal_to_noise_weight(responses, image, bias_correction=True), expected)


def test_pure_noise_at_ten_repeats_weighs_a_third_unless_corrected():
    rng = np.random.default_rng(1)
    responses, image = repeats(rng, signal=0, noise=1)
    assert signal_to_noise_weight(responses, image).mean() == pytest.approx(1 / 3, abs=0.01)
    assert signal_to_noise_weight(responses, image, bias_correction=True).mean() < 0.1


def test_bias_correction_finds_the_true_ratio():
    rng = np.random.default_rng(2)
    responses, image = repeats(rng, signal=0.5, noise=1, n=3)
    assert np.mean(signal_to_noise_weight(responses, image, bias_correction=True) ** 2) == pytest.approx(
        0.25, rel=0.05
    )
    # Uncorrected, sigma^2 has a third of the noise and eta^2 lacks a third.
    biased = (0.25 + 1 / 3) / (2 / 3)
    assert np.mean(signal_to_noise_weight(responses, image) ** 2) == pytest.approx(biased, rel=0.05)


def test_bias_correction_holds_where_bright_images_are_noisier_and_repeated_less():
    """As with a Poisson's noise and an animal that ran away."""
    rng = np.random.default_rng(4)
    means, deviation = np.tile([1.0, 3.0], 500), np.tile([0.5, 3.0], 500)
    image = np.repeat(np.arange(1000), np.tile([10, 2], 500))
    responses = means[image, None] + deviation[image, None] * rng.normal(size=(len(image), 300))
    found = signal_to_noise_weight(responses, image, bias_correction=True)
    true = means.var(ddof=1) / np.mean(deviation**2)
    assert np.mean(found**2) == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
@pytest.mark.parametrize("bias_correction", [False, True])
def test_constant_neurons_get_zero_everywhere(value, bias_correction):
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(7), 3)
    responses = rng.normal(size=(21, 2))
    responses[:, 1] = value
    predicted = rng.normal(size=(21, 2))
    for measure in (
        signal_to_noise_weight(responses, image, bias_correction=bias_correction),
        single_trial_correlation(predicted, responses),
        single_trial_correlation(responses, predicted),
        correlation_to_average(predicted, responses, image),
        jackknife_oracle(responses, image),
    ):
        assert np.isfinite(measure).all()
        assert measure[1] == 0


@pytest.mark.parametrize("image", [[0, 1, 2, 3, 4], [0, 0, 0, 1, 2]])
@pytest.mark.parametrize("bias_correction", [False, True])
def test_without_two_repeated_images_every_weight_is_one(image, bias_correction):
    responses, image = np.random.default_rng(4).normal(size=(5, 3)), np.array(image)
    weight = signal_to_noise_weight(responses, image, bias_correction=bias_correction)
    np.testing.assert_array_equal(weight, np.ones(3))
    np.testing.assert_array_equal(jackknife_oracle(responses, image), np.zeros(3))


@pytest.mark.parametrize(("images", "repeats"), [(1, 1), (1, 10), (2, 1), (2, 5), (3, 1), (3, 4)])
def test_a_test_tier_of_few_images_gives_way_to_the_validation_tier(images, repeats):
    rng = np.random.default_rng(8)
    full = make_scan(rng)
    image = np.concatenate([np.arange(20), np.repeat(np.arange(20, 20 + images), repeats)])
    trials = len(image)
    scan = replace(
        full,
        image=image,
        tier=full.tier[:trials],
        responses=rng.gamma(2.0, 1.0, (trials, 6)).astype(np.float32),
        behavior=full.behavior[:trials],
        pupil_center=full.pupil_center[:trials],
    )
    predicted = scan.responses + rng.normal(size=scan.responses.shape)
    lines = []
    quality = measure_neurons(scan, lambda trials: predicted[trials], log=lines.append)
    tier = "test" if images == 3 else "validation"
    of_tier = scan.tier == tier
    assert quality.tier == tier
    expected = [np.corrcoef(predicted[of_tier, n], scan.responses[of_tier, n])[0, 1] for n in range(6)]
    np.testing.assert_allclose(quality.v, np.maximum(expected, 0), rtol=1e-5)
    assert any(f"of {images} different images, fewer than 3" in line for line in lines) == (images < 3)
    if (images, repeats) == (3, 4):
        assert quality.oracle is not None
        assert (quality.w != 1).all()
    else:
        np.testing.assert_array_equal(quality.w, np.ones(6))
        assert quality.oracle is quality.correlation_to_average is quality.feve is None


def test_one_repeated_image_among_several_gives_no_scores_of_repeats():
    scan = make_scan(np.random.default_rng(8), repeated=False)
    image = scan.image.copy()
    image[-1] = image[-2]
    quality = measure_neurons(replace(scan, image=image), lambda trials: scan.responses[trials])
    assert quality.tier == "test"
    np.testing.assert_array_equal(quality.w, np.ones(6))
    assert quality.oracle is quality.correlation_to_average is quality.feve is None


@given(st.integers(0, 2**32), st.floats(0.1, 100), st.floats(-10, 10), st.booleans())
def test_weight_ignores_units_offset_and_order_of_trials(seed, scale, offset, bias_correction):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 5, 30)
    responses = rng.normal(size=(30, 3))
    order = rng.permutation(30)
    before = signal_to_noise_weight(responses, image, bias_correction=bias_correction)
    after = signal_to_noise_weight(
        scale * responses[order] + offset, image[order], bias_correction=bias_correction
    )
    # A corrected variance near its floor of 0 is a difference of near equals.
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-5)


def test_correlations_equal_numpy():
    rng = np.random.default_rng(5)
    image = rng.permutation(np.concatenate([np.repeat(np.arange(8), 3), [8, 8, 9, 9, 9, 9]]))
    observed = rng.normal(size=(len(image), 5)) + 100
    predicted = observed + rng.normal(size=observed.shape)
    expected = [np.corrcoef(predicted[:, n], observed[:, n])[0, 1] for n in range(5)]
    np.testing.assert_allclose(single_trial_correlation(predicted, observed), expected)
    a, b = (np.array([x[image == i].mean(0) for i in range(10)]) for x in (predicted, observed))
    expected = [np.corrcoef(a[:, n], b[:, n])[0, 1] for n in range(5)]
    np.testing.assert_allclose(correlation_to_average(predicted, observed, image), expected)
    others = np.empty_like(observed)
    for t in range(len(image)):
        same = image == image[t]
        same[t] = False
        others[t] = observed[same].mean(0)
    expected = [np.corrcoef(others[:, n], observed[:, n])[0, 1] for n in range(5)]
    np.testing.assert_allclose(jackknife_oracle(observed, image), expected)


def test_jackknife_oracle_underestimates_the_ceiling_as_theory_says():
    rng = np.random.default_rng(6)
    responses, image = repeats(rng, signal=0.5, noise=1)
    ceiling = np.sqrt(0.25 / 1.25)
    expected = ceiling * np.sqrt(0.25 / (0.25 + 1 / 9))
    assert jackknife_oracle(responses, image).mean() == pytest.approx(expected, abs=0.01)


def test_fewer_than_two_trials_correlate_with_nothing():
    np.testing.assert_array_equal(correlation(np.ones((1, 2)), np.ones((1, 2))), np.zeros(2))


def test_average_repeats_keeps_counts_and_rows():
    means, inverse, counts = average_repeats(np.array([[1.0], [5.0], [3.0]]), np.array([9, 4, 9]))
    np.testing.assert_array_equal(means, [[5.0], [2.0]])
    np.testing.assert_array_equal(inverse, [1, 0, 1])
    np.testing.assert_array_equal(counts, [1, 2])


def test_measures_of_a_scan_come_from_the_test_tier():
    rng = np.random.default_rng(7)
    scan = make_scan(rng)
    predicted = scan.responses + rng.normal(size=scan.responses.shape)
    predicted[:, 0] = -scan.responses[:, 0]
    quality = measure_neurons(scan, lambda trials: predicted[trials])
    test = scan.tier == "test"
    assert quality.tier == "test"
    np.testing.assert_allclose(quality.w, signal_to_noise_weight(scan.responses[test], scan.image[test]))
    expected = [np.corrcoef(predicted[test, n], scan.responses[test, n])[0, 1] for n in range(6)]
    np.testing.assert_allclose(quality.single_trial_correlation, expected, rtol=1e-6)
    assert quality.single_trial_correlation[0] == pytest.approx(-1)
    assert quality.v[0] == 0
    np.testing.assert_array_equal(quality.v[1:], quality.single_trial_correlation[1:])
    np.testing.assert_allclose(quality.oracle, jackknife_oracle(scan.responses[test], scan.image[test]))
    explained = feve(predicted[test], scan.responses[test], scan.image[test])
    np.testing.assert_array_equal(quality.feve, explained)
    assert np.isfinite(explained).any()


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_fraction_of_oracle_is_the_slope_through_the_origin(seed, neurons):
    rng = np.random.default_rng(seed)
    oracle, scores = rng.uniform(-0.1, 0.7, neurons), rng.uniform(-0.2, 0.6, neurons)
    slope = np.linalg.lstsq(oracle[:, None], scores, rcond=None)[0][0]
    assert fraction_of_oracle(scores, oracle) == pytest.approx(slope)
    assert fraction_of_oracle(oracle, oracle) == pytest.approx(1)


def test_scores_that_no_neuron_has():
    assert fraction_of_oracle(np.ones(3), np.zeros(3)) is None
    assert mean_score(None) is mean_score([None, None]) is mean_score(np.full(2, np.nan)) is None
    assert mean_score([0.5, None, 1.0]) == mean_score(np.array([0.5, np.nan, 1.0])) == 0.75


@pytest.mark.parametrize(("withhold", "tier"), [(True, "validation"), (False, "test")])
def test_without_usable_repeats_only_predictions_weigh(withhold, tier):
    scan = make_scan(np.random.default_rng(8), withhold=withhold, repeated=withhold)
    lines = []
    quality = measure_neurons(scan, lambda trials: scan.responses[trials], log=lines.append)
    assert quality.tier == tier
    np.testing.assert_array_equal(quality.w, np.ones(6))
    np.testing.assert_allclose(quality.v, np.ones(6))
    assert quality.oracle is None
    assert quality.correlation_to_average is None
    assert quality.feve is None
    assert any("w = 1 for every neuron" in line for line in lines)
    assert any("withheld" in line for line in lines) == withhold


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


def test_the_bias_of_w_is_corrected_if_that_is_asked_for():
    rng = np.random.default_rng(4)
    scan = make_scan(rng)
    trials = scan.trials_of("test")
    found = {}
    for corrected in (False, True):
        quality = measure_neurons(scan, lambda trials: scan.responses[trials], bias_correction=corrected)
        w = signal_to_noise_weight(scan.responses[trials], scan.image[trials], bias_correction=corrected)
        np.testing.assert_array_equal(quality.w, w)
        found[corrected] = w
    assert (found[True] < found[False]).all()
