"""Ridge regression against scikit-learn and against least squares with the penalty as further rows."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neuroreg.errors import InputError
from neuroreg.response_model.ridge import (
    LARGEST,
    PENALTIES,
    Design,
    Regressors,
    fit_ridge,
    principal_axes,
    solve_ridge,
)
from neuroreg.scans.scan import Scan


@pytest.fixture(scope="module")
def scan():
    """Neurons that are linear in a patch of the image and in behaviour, noisy."""
    rng = np.random.default_rng(0)
    images, trials, neurons = 150, 200, 5
    pictures = rng.integers(0, 256, (images, 36, 64), np.uint8)
    image = np.concatenate([np.arange(images), rng.integers(0, images, trials - images)])
    behavior = rng.normal(4, 2, (trials, 3)).astype(np.float32)
    filters = np.zeros((36, 64, neurons))
    filters[15:18, 30:33] = rng.normal(size=(3, 3, neurons)) / 100
    responses = np.tensordot(pictures[image], filters, 2) + behavior[:, :1] * [0.1, 0, 1, 0.5, 0.2]
    return Scan(
        images=pictures,
        key=np.array([f"c/{i}" for i in range(images)]),
        image=image,
        tier=np.repeat(["train", "validation", "test"], [120, 40, 40]),
        responses=(responses + rng.normal(0, 0.5, responses.shape)).astype(np.float32),
        behavior=behavior,
        pupil_center=rng.normal(80, 3, (trials, 2)).astype(np.float32),
        unit_id=np.arange(neurons),
    )


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_principal_axes_are_the_singular_vectors(shape):
    x = np.random.default_rng(1).normal(size=shape)
    values, axes = principal_axes(x, 5)
    _, singular, vectors = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(values, singular[:5] ** 2)
    np.testing.assert_allclose(np.abs(vectors[:5] @ axes), np.eye(5), atol=1e-8)


def test_axes_without_variance_are_left_out():
    x = np.random.default_rng(2).normal(size=(20, 3))
    assert principal_axes(np.column_stack([x, x[:, 0]]))[1].shape == (4, 3)
    assert principal_axes(np.zeros((6, 4)))[1].shape == (4, 0)


def random_design(rng, trials, validation, regressors):
    x = rng.normal(size=(trials + validation, regressors))
    d = np.column_stack([np.ones(len(x)), x[:, :2] + rng.normal(size=(len(x), 2))])
    y = x[:, :3] + 2 * d[:, 1:2] + rng.normal(0, [0.3, 2, 8], (len(x), 3)) + 7
    return Design(x[:trials], d[:trials], x[trials:], d[trials:]), y[:trials], y[trials:]


@pytest.mark.parametrize("regressors", [15, 90])
def test_covariates_are_not_penalised(regressors):
    design, y, held_out = random_design(np.random.default_rng(3), 60, 30, regressors)
    w, c, penalty = solve_ridge(design, y, held_out, np.array([0.3]))
    np.testing.assert_array_equal(penalty, 0.3)
    penalised = np.hstack([np.sqrt(60 * 0.3) * np.eye(regressors), np.zeros((regressors, 3))])
    rows = np.vstack([np.hstack([design.x, design.d]), penalised])
    solution = np.linalg.lstsq(rows, np.vstack([y, np.zeros((regressors, 3))]), rcond=None)[0]
    np.testing.assert_allclose(np.vstack([w, c]), solution, atol=1e-9)


def test_each_neuron_gets_the_penalty_that_predicts_validation_best_as_scikit_learn_finds_it():
    design, y, held_out = random_design(np.random.default_rng(4), 60, 30, 40)
    design = replace(design, d=design.d[:, :1], d_validation=design.d_validation[:, :1])
    w, c, penalty = solve_ridge(design, y, held_out, PENALTIES)
    models = [Ridge(60 * p).fit(design.x, y) for p in PENALTIES]
    errors = [((model.predict(design.x_validation) - held_out) ** 2).mean(0) for model in models]
    best = np.argmin(errors, 0)
    np.testing.assert_array_equal(penalty, PENALTIES[best])
    assert len(set(best)) > 1
    for neuron, model in enumerate(models[i] for i in best):
        np.testing.assert_allclose(w[:, neuron], model.coef_[neuron], atol=1e-9)
        np.testing.assert_allclose(c[0, neuron], model.intercept_[neuron])


def test_regressors_are_standardised_on_training_trials_and_cut(scan):
    train = scan.trials_of("train")
    behavior = scan.behavior.copy()
    behavior[train[0], 1] = 1e4
    behavior[:, 2] = 3
    regressors = Regressors.of(replace(scan, behavior=behavior), train)
    pixels = regressors.pixels(scan, train)
    assert pixels.mean() == pytest.approx(0, abs=1e-5)
    assert pixels.std() == pytest.approx(1, abs=1e-5)
    covariates = regressors.covariates(replace(scan, behavior=behavior), train)
    np.testing.assert_allclose(covariates[:, [1, 4, 5]].mean(0), 0, atol=0.02)
    np.testing.assert_array_equal(covariates[:, 0], 1)
    np.testing.assert_array_equal(covariates[:, 3], 0)
    assert covariates[0, 2] == np.abs(covariates).max() == LARGEST


def test_predictions_of_a_scan_equal_scikit_learns(scan):
    model = fit_ridge(scan)
    train, test = scan.trials_of("train"), scan.trials_of("test")
    # Multiplied by 1e4, covariates are as good as free of the penalty.
    x, x_test = (
        np.hstack([model.regressors.pixels(scan, t), 1e4 * model.regressors.covariates(scan, t)[:, 1:]])
        for t in (train, test)
    )
    expected = np.column_stack(
        [
            Ridge(120 * penalty, solver="svd").fit(x.astype(np.float64), response).predict(x_test)
            for penalty, response in zip(model.penalty, scan.responses[train].T, strict=True)
        ]
    )
    np.testing.assert_allclose(model.predict(scan, test), expected, atol=1e-3)


def test_units_scale_predictions_and_the_same_scan_gives_the_same_bytes(scan):
    test = scan.trials_of("test")
    plain = fit_ridge(scan).predict(scan, test)
    assert fit_ridge(scan).predict(scan, test).tobytes() == plain.tobytes()
    scaled = replace(scan, responses=8 * scan.responses)
    np.testing.assert_array_equal(fit_ridge(scaled).predict(scaled, test), 8 * plain)


def test_a_withheld_training_tier_is_refused(scan):
    train = scan.tier == "train"
    with pytest.raises(InputError, match="tier 'train' is withheld"):
        fit_ridge(replace(scan, responses=np.where(train[:, None], np.float32(0), scan.responses)))
