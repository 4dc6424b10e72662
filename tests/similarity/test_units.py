"""Units of responses and effective numbers of neurons against closed forms and what must not change."""

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.scans.reliability import response_deviation
from neuroreg.scans.scan import Scan
from neuroreg.similarity.denoised import PredictedResponses, denoised_similarity
from neuroreg.similarity.matrix import centred_cosine
from neuroreg.similarity.oracle import oracle_similarities
from neuroreg.similarity.units import effective_neurons, response_units, warn_of_few

NEURONS = 6


def make_scan(seed=0, scale=1.0):
    """Return a scan of 4 images shown three times and 20 shown once, responses times `scale`."""
    rng = np.random.default_rng(seed)
    image = np.concatenate([np.repeat(np.arange(4), 3), np.arange(4, 24)])
    return Scan(
        images=rng.integers(0, 256, (24, 36, 64), np.uint8),
        key=np.array([f"c/{i}" for i in range(24)]),
        image=image,
        tier=np.where(image < 4, "test", "train"),
        responses=(rng.gamma(2.0, 1.0, (len(image), NEURONS)) * scale).astype(np.float32),
        behavior=np.zeros((len(image), 0), np.float32),
        pupil_center=np.zeros((len(image), 2), np.float32),
        unit_id=np.arange(NEURONS),
    )


def predictions(scan, seed=1, scale=1.0):
    rng = np.random.default_rng(seed)
    pool, oracle = (rng.gamma(2.0, 1.0, (n, NEURONS)) * scale for n in (9, 4))
    w, v = rng.uniform(0.1, 1, (2, NEURONS)).astype(np.float32)
    key = np.array([f"p/{i}" for i in range(9)])
    arrays = (pool.astype(np.float32), scan.key[:4], oracle.astype(np.float32), w, v)
    return PredictedResponses(key, *arrays, response_units(scan, "std").astype(np.float32))


def test_deviations_are_numpys_with_a_floor_of_a_hundredth_of_their_mean():
    rng = np.random.default_rng(0)
    responses = rng.normal(size=(40, 700)) * rng.lognormal(0, 1, 700)  # more neurons than one block
    responses[:, 3] = 1e-6 * rng.normal(size=40)
    responses[:, 5] = 0.1  # whose mean is off by a rounding
    expected = responses.std(0)
    floor = 0.01 * np.append(np.delete(expected, 5), 0).mean()
    assert expected[3] < floor
    expected[[3, 5]] = floor
    np.testing.assert_allclose(response_deviation(responses), expected, rtol=1e-12)
    np.testing.assert_array_equal(response_deviation(np.full((5, 3), 0.1)), np.ones(3))


def test_withheld_trials_do_not_count_for_the_deviation():
    scan = make_scan()
    train = scan.tier == "train"
    responses = np.where(train[:, None], scan.responses, 0)
    withheld = dataclasses.replace(scan, responses=responses)
    np.testing.assert_allclose(response_units(withheld, "std"), scan.responses[train].std(0), rtol=1e-5)
    np.testing.assert_allclose(response_units(scan, "std"), scan.responses.std(0), rtol=1e-5)
    np.testing.assert_array_equal(response_units(scan, "source"), np.ones(NEURONS))


@given(st.integers(0, 2**32), st.integers(-3, 3))
def test_in_units_of_deviations_no_neurons_scale_matters(seed, power):
    # Powers of two are exact, so that nothing but the units can make a difference.
    scale = 2.0 ** (power * np.arange(NEURONS))
    plain, scaled = make_scan(seed), make_scan(seed, scale)
    answers, scaled_answers = predictions(plain), predictions(scaled, scale=scale)

    def oracle(scan, found):
        return oracle_similarities(scan, found.oracle_predicted, found.w, found.v, seed=0)

    # A scale of 2^18 lies below a hundredth of the mean.
    if (plain.responses.std(0) * scale).min() > 0.01 * (plain.responses.std(0) * scale).mean():
        a, b = denoised_similarity("a", answers, 1.0), denoised_similarity("a", scaled_answers, 1.0)
        np.testing.assert_allclose(a.matrix, b.matrix, atol=1e-5)
        for name, matrix in oracle(plain, answers).matrices().items():
            np.testing.assert_allclose(matrix, oracle(scaled, scaled_answers).matrices()[name], atol=1e-5)
    source = denoised_similarity("a", scaled_answers, 1.0, "source").matrix
    weights = answers.w.astype(np.float64) * answers.v
    np.testing.assert_allclose(source, centred_cosine(answers.predicted, scale * weights), atol=1e-6)


def test_weights_are_divided_by_the_deviation_whatever_the_exponent():
    responses = predictions(make_scan())
    w, v, std = (getattr(responses, name).astype(np.float64) for name in ("w", "v", "std"))
    np.testing.assert_allclose(responses.weights(3.0, "std"), (w * v) ** 3 / std)
    np.testing.assert_allclose(responses.weights(3.0, "source"), (w * v) ** 3)


@pytest.mark.parametrize("equal", [1, 2, 900])
def test_of_equal_neurons_each_counts_once(equal):
    rng = np.random.default_rng(2)
    responses = np.full((6, 1000), 7.0)
    for neuron in rng.permutation(1000)[:equal]:
        responses[:, neuron] = rng.normal() + rng.permutation(6)
    assert effective_neurons(responses, np.ones(1000)) == pytest.approx(equal)
    assert effective_neurons(responses, np.zeros(1000)) == 0


def test_effective_neurons_have_their_closed_form():
    # Variances 1 and 4; weights 2 and 1/2 make shares 4/5 and 1/5.
    responses = np.array([[1.0, 2.0], [-1.0, -2.0]])
    assert effective_neurons(responses, np.array([2.0, 0.5])) == pytest.approx(1 / (0.8**2 + 0.2**2))
    assert effective_neurons(responses, np.array([2.0, 1.0])) == pytest.approx(2)
    assert effective_neurons(responses + 1e3, np.array([2e200, 1e200])) == pytest.approx(2)


def test_shares_are_those_of_the_squared_lengths_that_similarity_normalises():
    rng = np.random.default_rng(3)
    responses, weights = rng.gamma(1.0, 1.0, (8, 5)), rng.random(5)
    centred = (responses - responses.mean(0)) * weights
    share = np.square(centred).sum(0) / np.square(centred).sum()
    assert effective_neurons(responses, weights) == pytest.approx(1 / np.square(share).sum())
    assert 1 < effective_neurons(responses, weights) < 5


def test_a_warning_below_five_percent(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_few("a", 5.0, 100, "std")
        assert not caplog.records
        warn_of_few("a", 4.99, 100, "source")
    assert caplog.messages == [
        "scan 'a': in units 'source' its similarity rests on 4.99 of 100 neurons (effective number, 5 %);"
        " below 5 % a few neurons decide it"
    ]


def test_a_bright_neuron_is_warned_of_in_source_units_only(caplog):
    rng = np.random.default_rng(4)
    scale = np.where(np.arange(50) == 7, 1e4, 1.0)
    predicted = (rng.gamma(2.0, 1.0, (9, 50)) * scale).astype(np.float32)
    key, ones = np.array([f"p/{i}" for i in range(9)]), np.ones(50, np.float32)
    none = np.empty((0, 50), np.float32)
    responses = PredictedResponses(key, predicted, key[:0], none, ones, ones, scale.astype(np.float32))
    denoised_similarity("a", responses, 1.0, "std")
    assert not caplog.records
    denoised_similarity("a", responses, 1.0, "source")
    assert "scan 'a': in units 'source' its similarity rests on 1 of 50 neurons" in caplog.text
