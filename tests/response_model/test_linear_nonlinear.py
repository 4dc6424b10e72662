"""The linear-nonlinear model against SciPy's optimiser and simulated neurons; scores of both baselines."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from neuroreg.files.storage import write_json
from neuroreg.response_model.baselines import score_baselines
from neuroreg.response_model.linear_nonlinear import (
    fit_linear_nonlinear,
    fit_poisson,
    softplus,
    window_around,
)
from neuroreg.response_model.ridge import Design, fit_ridge
from neuroreg.scans.reliability import correlation
from neuroreg.scans.scan import Scan

CENTRES = np.array([[20, 16], [32, 18], [40, 20], [33, 14]])
TRAIN, VALIDATION, TEST = 900, 100, 200


def linear_nonlinear_population(seed=0):
    """A scan of known linear-nonlinear neurons, their filters (4, H W) and true rates (T, 4)."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(36)[:, None], np.fft.rfftfreq(64)[None]
    spectrum = np.fft.rfft2(rng.normal(size=(1040, 36, 64))) / np.maximum(np.hypot(fy, fx), 1 / 64)
    noise = np.fft.irfft2(spectrum, s=(36, 64))
    images = np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)
    image = np.concatenate([np.arange(TRAIN + VALIDATION), np.repeat(np.arange(1000, 1040), 5)])
    y, x = np.mgrid[:36, :64]
    filters = []
    for index, (x0, y0) in enumerate(CENTRES):
        along = (x - x0) * np.cos(index) + (y - y0) * np.sin(index)
        filters.append(np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 18) * np.cos(0.7 * along + index))
    filters = np.array(filters).reshape(4, -1)
    drive = (images[image].reshape(len(image), -1) / 64.0 - 2) @ filters.T
    drive /= drive.std(0)
    behavior = rng.normal(5, 2, (len(image), 3))
    rate = np.exp(0.2 * (behavior[:, :1] - 5)) * np.log1p(np.exp(3 * drive - 1))
    scan = Scan(
        images=images,
        key=np.array([f"c/{i}" for i in range(len(images))]),
        image=image,
        tier=np.repeat(["train", "validation", "test"], [TRAIN, VALIDATION, TEST]),
        responses=rng.poisson(rate).astype(np.float32),
        behavior=behavior.astype(np.float32),
        pupil_center=rng.normal(80, 3, (len(image), 2)).astype(np.float32),
        unit_id=np.arange(4),
    )
    return scan, filters, rate


@pytest.fixture(scope="module")
def population():
    return linear_nonlinear_population()


def test_softplus_and_its_derivative():
    x = np.array([-80, -5, -0.5, 0, 0.5, 5, 80], np.float64)
    value, slope = softplus(x)
    np.testing.assert_allclose(value, np.logaddexp(0, x) + 1e-6)
    np.testing.assert_allclose(slope, (softplus(x + 1e-6)[0] - softplus(x - 1e-6)[0]) / 2e-6, atol=1e-6)


def test_a_window_is_largest_at_its_centre_and_ends_within_the_image():
    inside, window = window_around(np.array([4.0, 32.0]), (36, 64))
    assert inside[window.argmax()] == 32 * 64 + 4
    assert window.max() == 1
    distance = np.hypot(inside % 64 - 4, inside // 64 - 32)
    assert distance.max() <= 15
    np.testing.assert_allclose(window**2, np.exp(-(distance**2) / 72), rtol=1e-5)


def test_the_likelihood_is_as_high_as_scipy_finds_it():
    rng = np.random.default_rng(1)
    trials = 400
    x = np.linalg.qr(rng.normal(size=(trials, 3)))[0] * [30, 20, 10]
    d = np.column_stack([np.ones(trials), rng.normal(size=trials)])
    rate = np.exp(d @ [[0.3, 0.0], [0.2, -0.3]]) * np.logaddexp(0, x @ [[2, 0], [0, 1], [1, 1]])
    y = rng.poisson(rate).astype(np.float32)
    design = Design(*(values.astype(np.float32) for values in (x, d, x, d)))
    # Validated on the training trials and hardly penalised, the fit maximises their likelihood.
    weights, offset, gain = fit_poisson(design, y, y, np.array([1e-9]), iterations=400)

    def loss(parameters, neuron):
        value = np.exp(d @ parameters[4:]) * np.logaddexp(0, x @ parameters[:3] + parameters[3])
        return np.sum(value - y[:, neuron] * np.log(value + 1e-12))

    for neuron in range(2):
        found = np.concatenate([weights[:, neuron], offset[neuron : neuron + 1], gain[:, neuron]])
        best = minimize(loss, np.zeros(6), args=(neuron,)).fun
        assert best - 0.1 <= loss(found, neuron) <= best + 0.1


def test_known_neurons_are_recovered(population):
    scan, filters, rate = population
    model, test = fit_linear_nonlinear(scan), scan.trials_of("test")
    predicted, observed = model.predict(scan, test), scan.responses[test]
    assert (predicted > 0).all()
    ceiling = correlation(rate[test], observed)
    assert (correlation(predicted, observed) > 0.93 * ceiling).all()
    assert (correlation(predicted, rate[test]) > 0.9).all()
    linear = correlation(fit_ridge(scan).predict(scan, test), observed)
    assert (correlation(predicted, observed) > linear + 0.05).all()
    assert (correlation(model.filter, filters.T) > 0.8).all()
    strongest = np.abs(model.filter).argmax(0)
    assert np.hypot(strongest % 64 - CENTRES[:, 0], strongest // 64 - CENTRES[:, 1]).max() < 4
    # The gain is in units of behaviour's standard deviation, 2.
    np.testing.assert_allclose(model.gain[1], 0.4, atol=0.1)
    np.testing.assert_allclose(model.gain[2:], 0, atol=0.15)


def test_units_scale_predictions_and_the_same_scan_gives_the_same_bytes(population):
    scan, test = population[0], population[0].trials_of("test")
    plain = fit_linear_nonlinear(scan).predict(scan, test)
    assert fit_linear_nonlinear(scan).predict(scan, test).tobytes() == plain.tobytes()
    scaled = replace(scan, responses=8 * scan.responses)
    np.testing.assert_allclose(fit_linear_nonlinear(scaled).predict(scaled, test), 8 * plain, rtol=1e-4)


def test_a_high_level_is_fitted_like_a_low_one(population):
    """As raw fluorescence has it; one neuron far above 88 deviations, where float32's exponential ends.

    And a neuron of one level, whose deviation in float32 is rounding and not 0.
    """
    scan, test = population[0], population[0].trials_of("test")
    raised = scan.responses.copy()
    raised[:, 1] = 0.1
    assert raised[:, 1].std() > 0
    raised[:, 0] += 200 * raised[:, 0].std()
    predicted = fit_linear_nonlinear(scan2 := replace(scan, responses=raised)).predict(scan2, test)
    assert np.isfinite(predicted).all()
    assert correlation(predicted[:, :1], raised[test, :1]) > 0.3
    assert predicted[:, 0].mean() == pytest.approx(raised[test, 0].mean(), rel=0.01)
    np.testing.assert_allclose(predicted[:, 1], 0.1, rtol=0.05)


def few_trials(scan):
    """The same scan with 40 training trials, a silent neuron and covariates that never change."""
    trials = np.concatenate([np.arange(40), np.arange(TRAIN, TRAIN + VALIDATION + TEST)])
    per_trial = ("image", "tier", "responses", "behavior", "pupil_center")
    values = {name: getattr(scan, name)[trials].copy() for name in per_trial}
    values["responses"][:, 0] = 0
    values["behavior"][:] = 1
    return replace(scan, **values)


@pytest.mark.parametrize("withhold", [False, True])
def test_scores_of_a_poor_scan_are_strict_json(population, tmp_path, withhold):
    scan = few_trials(population[0])
    if withhold:
        responses = np.where((scan.tier == "test")[:, None], np.float32(0), scan.responses)
        scan = replace(scan, responses=responses)
    write_json(tmp_path / "a.json", score_baselines(scan))
    content = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert set(content) == {"linear_nonlinear", "ridge"}
    for scores in content.values():
        assert scores["summary"]["tier"] == ("validation" if withhold else "test")
        assert scores["summary"]["neurons"] == len(scores["single_trial_correlation"]) == 4
        assert scores["single_trial_correlation"][0] == 0
        assert all(np.isfinite(scores["single_trial_correlation"]))
        if withhold:
            mean = np.mean(scores["single_trial_correlation"])
            assert scores["summary"]["validation_correlation"] == pytest.approx(mean)
            assert scores["feve"] is scores["oracle"] is scores["correlation_to_average"] is None
        else:
            assert scores["feve"][0] is None
            assert all(np.isfinite(scores["feve"][1:]))
