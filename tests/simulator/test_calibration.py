"""Calibrated noise: measured on the scan as written, with the definition that the similarity figure has."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from neuroreg.errors import InputError
from neuroreg.images.stimuli import make_stimuli
from neuroreg.scans.readers import find_reader
from neuroreg.scans.reliability import jackknife_oracle, signal_to_noise_weight
from neuroreg.scans.static_hdf5 import write_static_hdf5
from neuroreg.similarity.oracle import oracle_similarities
from neuroreg.simulator.calibration import (
    NoiseTargets,
    calibrate_noise,
    mean_oracle,
    single_trial_similarity,
)
from neuroreg.simulator.simulate import simulate_scan
from neuroreg.simulator.trial_noise import NoiseLevels

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())


@pytest.fixture(scope="module")
def stimuli():
    sizes = DEFAULT["stimuli"]
    return make_stimuli("photographs", sizes["pool_size"], sizes["oracle_size"], seed=DEFAULT["seed"])


def as_the_figure_has_it(scan, seeds):
    """The correlation that `oracle_similarities` finds for each seed of its single trials."""
    predicted = np.random.default_rng(0).random((len(scan.repeated_images()), scan.responses.shape[1]))
    test = scan.tier == "test"
    w = signal_to_noise_weight(scan.responses[test], scan.image[test])
    return [oracle_similarities(scan, predicted, w, w, seed=seed).single_trial_to_average for seed in seeds]


def oracle_of(scan):
    """The mean oracle as defined: a trial beside the mean of the image's other trials, neuron by neuron."""
    test = scan.tier == "test"
    responses, image = scan.responses[test].astype(np.float64), scan.image[test]
    others = np.empty_like(responses)
    for trial, shown in enumerate(image):
        same = image == shown
        same[trial] = False
        others[trial] = responses[same].mean(axis=0)
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(responses.T, others.T, strict=True)])


def noise_correlations(scan):
    test = scan.tier == "test"
    responses, image = scan.responses[test].astype(np.float64), scan.image[test]
    for i in np.unique(image):
        responses[image == i] -= responses[image == i].mean(axis=0)
    return np.corrcoef(responses[:, :500].T)[np.triu_indices(min(500, responses.shape[1]), 1)]


@pytest.mark.parametrize("entry", DEFAULT["scans"], ids=lambda entry: entry["name"])
def test_default_scans_as_written_meet_both_targets(stimuli, tmp_path, entry):
    simulated = simulate_scan(
        stimuli,
        n_neurons=entry["n_neurons"],
        seed=DEFAULT["seed"],
        name=entry["name"],
        **DEFAULT["simulator"],
    )
    write_static_hdf5(tmp_path / "scan.h5", simulated.scan)
    scan = find_reader(tmp_path / "scan.h5").read(tmp_path / "scan.h5")
    found = as_the_figure_has_it(scan, range(40))
    # One choice of single trials scatters; the mean of 40 has a standard error below 0.01.
    assert np.std(found) < 0.06
    assert np.mean(found) == pytest.approx(0.39, abs=0.03)
    assert oracle_of(scan) == pytest.approx(0.35, abs=0.03)


@pytest.mark.parametrize("n_neurons", [150, 500, 2000])
def test_the_number_of_neurons_does_not_matter(stimuli, n_neurons):
    simulated = simulate_scan(stimuli, n_neurons=n_neurons, oracle_repeats=10, seed=2, name="b")
    assert np.mean(as_the_figure_has_it(simulated.scan, range(10))) == pytest.approx(0.39, abs=0.03)
    assert oracle_of(simulated.scan) == pytest.approx(0.35, abs=0.03)
    # Means of 0.01 (Ecker et al. 2010) to 0.18 (awake mouse V1, Denman & Contreras 2014).
    pairs = noise_correlations(simulated.scan)
    assert 0.01 < pairs.mean() < 0.18
    assert pairs.std() < 0.2
    # Neurons differ: reliability weights are far from equal.
    low, high = np.quantile(simulated.truth.w, [0.1, 0.9])
    assert high > 3 * low


def test_private_noise_alone_makes_many_neurons_too_noisy(stimuli):
    # What a population averages out must be the larger, the more neurons there are.
    levels, oracles = [], []
    for n in (100, 1500):
        scans = [
            simulate_scan(
                stimuli,
                n_neurons=n,
                oracle_repeats=10,
                mean_oracle=None,
                shared_noise=0.0,
                seed=3,
                name=name,
            )
            for name in "ab"
        ]
        levels.append(np.mean([simulated.truth.noise for simulated in scans]))
        oracles.append(np.mean([oracle_of(simulated.scan) for simulated in scans]))
    assert levels[1] > 1.2 * levels[0]
    assert oracles[1] < 0.75 * oracles[0] < 0.2


def test_the_mean_oracle_is_that_of_single_neurons():
    rng = np.random.default_rng(9)
    image = np.repeat(np.arange(30), 4)
    responses = rng.normal(size=(30, 600))[image] + rng.normal(size=(120, 600))
    expected = [jackknife_oracle(responses[:, [n]], image)[0] for n in range(600)]
    assert mean_oracle(responses, image) == pytest.approx(np.mean(expected))


def test_every_trial_has_its_turn_as_the_single_one():
    rng = np.random.default_rng(1)
    image = np.repeat(np.arange(30), 4)
    responses = rng.normal(size=(30, 20))[image] + rng.normal(size=(120, 20))
    w = signal_to_noise_weight(responses, image)

    def similarities(rows):
        rows = (rows - rows.mean(axis=0)) * w / responses.std(axis=0)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows @ rows.T)[np.triu_indices(30, 1)]

    trials = responses.reshape(30, 4, 20)
    found = single_trial_similarity(responses, image, seed=3)
    expected = []
    for _ in range(200):
        chosen = rng.integers(4, size=30)
        single = trials[np.arange(30), chosen]
        others = (trials.sum(axis=1) - single) / 3
        expected.append(np.corrcoef(similarities(single), similarities(others))[0, 1])
    assert found == pytest.approx(np.mean(expected), abs=4 * np.std(expected) / 2)
    # The order of trials does not matter but for the turns; images shown once count for nothing.
    more = np.concatenate([responses, rng.normal(size=(5, 20))])
    assert single_trial_similarity(more, np.append(image, np.arange(30, 35)), seed=3) == pytest.approx(found)


@pytest.fixture(scope="module")
def known():
    """Responses whose private noise lies anywhere and whose shared noise lies where the signal does."""
    rng = np.random.default_rng(4)
    image = np.repeat(np.arange(80), 6)
    directions = rng.normal(size=(8, 60))
    signal = (rng.normal(size=(80, 8)) @ directions)[image]
    private = np.sqrt(8) * rng.normal(size=(480, 60))
    shared = rng.normal(size=(480, 8)) @ directions
    return image, lambda levels: signal + np.sqrt(levels.private) * private + np.sqrt(levels.shared) * shared


def test_calibration_finds_both_levels_of_a_known_scan(known):
    image, observe = known
    for levels in (NoiseLevels(2.5, 0.8), NoiseLevels(0.3, 1.4), NoiseLevels(1.2, 0.1)):
        responses = observe(levels)
        targets = NoiseTargets(single_trial_similarity(responses, image, 5), mean_oracle(responses, image))
        found = calibrate_noise(observe, image, targets, seed=5)
        assert found.private == pytest.approx(levels.private, rel=0.03)
        assert found.shared == pytest.approx(levels.shared, rel=0.03)
        found = calibrate_noise(observe, image, targets, seed=6)  # other single trials
        assert found.private == pytest.approx(levels.private, rel=0.2)
        assert found.shared == pytest.approx(levels.shared, rel=0.2)


def test_calibration_finds_the_level_that_is_not_fixed(known):
    image, observe = known
    responses = observe(NoiseLevels(2.5, 0.8))
    measured = {
        "single_trial_similarity": single_trial_similarity(responses, image, seed=5),
        "mean_oracle": mean_oracle(responses, image),
    }
    neither = {"single_trial_similarity": None, "mean_oracle": None}
    for name, value in measured.items():
        for fixed in ({"noise": 2.5}, {"shared_noise": 0.8}):
            targets = NoiseTargets(**{**neither, name: value, **fixed})
            found = calibrate_noise(observe, image, targets, seed=5)
            assert found.private == pytest.approx(2.5, rel=0.02)
            assert found.shared == pytest.approx(0.8, rel=0.02)
    targets = NoiseTargets(**neither, noise=0.4, shared_noise=0.0)
    assert calibrate_noise(observe, image, targets, seed=5) == NoiseLevels(0.4, 0.0)


def test_what_noise_cannot_give_is_refused(known):
    image, observe = known
    message = (
        r"^single_trial_similarity 0.05 with mean_oracle 0.7 is out of reach of 60 neurons \(noise of level"
        r" \S+, shared \S+, gives 0\.\d\d and 0\.70\); expected values that noise can give"
    )
    with pytest.raises(InputError, match=message):
        calibrate_noise(observe, image, NoiseTargets(0.05, 0.7), seed=1)
    message = r"^mean_oracle 0.35 is out of reach of 60 neurons \(noise of level \d+, shared 0, gives 1.00\)"
    with pytest.raises(InputError, match=message):
        calibrate_noise(
            lambda levels: observe(NoiseLevels(1e-6, 0)), image, NoiseTargets(None, 0.35, None, 0.0), seed=1
        )
    with pytest.raises(InputError, match=r"^2 images repeated; expected at least 3\.$"):
        calibrate_noise(lambda levels: observe(levels)[:12], image[:12], NoiseTargets(0.39, 0.35), seed=1)


@pytest.mark.parametrize(("images", "neurons"), [(12, 30), (40, 8)])
def test_of_a_small_scan_the_nearest_level_is_taken(caplog, images, neurons):
    rng = np.random.default_rng(8)
    image = np.repeat(np.arange(images), 3)
    noise = rng.normal(size=(len(image), neurons))
    targets = NoiseTargets(0.9, None, None, 0.0)
    found = calibrate_noise(lambda levels: noise, image, targets, seed=1)
    assert found == NoiseLevels(pytest.approx(np.exp(-4)), 0.0)
    assert f"too few images ({images}) or neurons ({neurons}) to set the noise by" in caplog.text
