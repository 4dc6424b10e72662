"""The truth of a simulated scan: what it says of w and v is what estimates converge to."""

import h5py
import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.files.records import write_record
from neuroreg.files.storage import open_h5
from neuroreg.images.stimuli import make_stimuli
from neuroreg.scans.reliability import signal_to_noise_weight, single_trial_correlation
from neuroreg.simulator.simulate import simulate_scan
from neuroreg.simulator.truth import SimulatedTruth, ideal_correlation, true_weight

REPEATS = 20


@pytest.fixture(scope="module")
def stimuli():
    return make_stimuli("photographs", 20, 150, seed=2)


def simulate(stimuli, noise):
    settings = {"n_neurons": 200, "oracle_repeats": REPEATS, "dropped_fraction": 0.0, "seed": 1, "name": "a"}
    return simulate_scan(
        stimuli,
        single_trial_similarity=None,
        mean_oracle=None,
        noise=noise,
        shared_noise=0.5 * noise,
        **settings,
    )


@pytest.fixture(scope="module")
def repeats(stimuli):
    """A noisy scan's repeated trials: observed, mean, image, and the truth."""
    noisy, clean = simulate(stimuli, 0.6), simulate(stimuli, 0.0)
    test = noisy.scan.tier == "test"
    return noisy.scan.responses[test], clean.scan.responses[test], noisy.scan.image[test], noisy.truth


def test_true_weight_has_its_closed_form():
    # Means 1, 2, 6; behaviour adds -d and d to the two trials of each; noise of variance s.
    means, d, s = np.array([1.0, 2.0, 6.0]), 0.5, 0.8
    mean = np.array([[m + sign * d] for m in means for sign in (-1, 1)])
    image = np.repeat([7, 3, 11], 2)
    behavior = 2 * d**2
    expected = np.sqrt((means.var(ddof=1) - behavior / 2) / (behavior + s))
    assert true_weight(mean, np.full_like(mean, s), image) == pytest.approx(expected)
    # Trials of images shown once are left out; without any repeat nothing is known.
    more = np.vstack([mean, [[50.0]]])
    assert true_weight(more, np.full_like(more, s), np.append(image, 1)) == pytest.approx(expected)
    assert np.isnan(true_weight(mean[:3], mean[:3], np.arange(3))).all()


def test_without_behaviour_the_true_weight_is_signal_over_noise():
    rng = np.random.default_rng(0)
    means, variance = rng.gamma(2.0, 1.0, (50, 4)), rng.gamma(2.0, 1.0, (50, 4))
    image = np.repeat(np.arange(50), 3)
    expected = means.std(0, ddof=1) / np.sqrt(variance.mean(0))
    np.testing.assert_allclose(true_weight(means[image], variance[image], image), expected)


def test_recovered_weights_are_the_true_ones(repeats):
    observed, _, image, truth = repeats
    found = signal_to_noise_weight(observed, image, bias_correction=True)
    reliable = truth.w > 0.3
    assert reliable.sum() > 50
    ratio = found[reliable] / truth.w[reliable]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert np.quantile(np.abs(ratio - 1), 0.9) < 0.3
    assert np.corrcoef(found, truth.w)[0, 1] > 0.95
    # The paper's weights keep 1/n of the noise in the signal and lose as much of the noise.
    biased = np.sqrt((truth.w**2 + 1 / REPEATS) / (1 - 1 / REPEATS))
    plain = signal_to_noise_weight(observed, image)
    assert np.median(plain / biased) == pytest.approx(1, abs=0.05)


def test_weights_fall_with_behaviour_and_the_pupil(repeats, stimuli):
    # At rest there would be less noise: what `expected` and the noise alone give is above the true w.
    _, mean, image, truth = repeats
    clean = simulate(stimuli, 0.0).truth
    assert clean.noise == clean.shared_noise == 0
    assert np.median(clean.w) < 5  # without noise, behaviour and pupil remain
    assert (clean.w >= truth.w).all()
    np.testing.assert_allclose(clean.w, signal_to_noise_weight(mean, image, bias_correction=True), rtol=1e-3)


def test_an_ideal_prediction_reaches_its_closed_form(repeats):
    observed, mean, _, truth = repeats
    found = single_trial_correlation(mean, observed)
    assert np.median(found / truth.v) == pytest.approx(1, abs=0.03)
    assert np.corrcoef(found, truth.v)[0, 1] > 0.97
    assert ideal_correlation(np.array([[0.0], [2.0]]), np.array([[3.0], [3.0]])) == pytest.approx(0.5)


def test_the_truth_at_rest_is_the_average_over_behaviour(repeats, stimuli):
    _, mean, image, truth = repeats
    oracle = np.sort(stimuli.key[stimuli.oracle])
    rows = [int(np.flatnonzero(truth.key == key)[0]) for key in oracle]
    averaged = np.array([mean[image == i].mean(axis=0) for i in np.unique(image)])
    pairs = [np.corrcoef(averaged[:, n], truth.expected[rows, n])[0, 1] for n in range(200)]
    assert np.median(pairs) > 0.9


def test_no_reader_of_the_workflow_opens_the_truth(tmp_path):
    from neuroreg.files.records import read_record
    from neuroreg.scans.readers import find_reader
    from neuroreg.scans.scan import Scan

    path = tmp_path / "a.h5"
    truth = SimulatedTruth(
        np.array(["c/1", "c/2"]), np.ones((2, 3), np.float32), 0.5, 0.7, np.ones(3), np.ones(3)
    )
    write_record(path, truth, config={"noise": 0.5})
    with open_h5(path, "simulated_truth") as file:
        assert file["noise"][()] == 0.5
        assert file["shared_noise"][()] == 0.7
        assert {name: file[name].shape for name in ("key", "expected", "w", "v")} == {
            "key": (2,),
            "expected": (2, 3),
            "w": (3,),
            "v": (3,),
        }
    with h5py.File(path) as file:
        assert file["expected"].dtype == np.float32
    for reader in (lambda path: read_record(path, Scan), lambda path: find_reader(path).read(path)):
        with pytest.raises(InputError):
            reader(path)
