"""Calibrated noise: measured on the scan as written, with the definition that the similarity figure has."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from neuroreg.errors import InputError
from neuroreg.images.stimuli import make_stimuli
from neuroreg.scans.readers import find_reader
from neuroreg.scans.reliability import signal_to_noise_weight
from neuroreg.scans.static_hdf5 import write_static_hdf5
from neuroreg.similarity.oracle import oracle_similarities
from neuroreg.simulator.calibration import calibrate_noise, single_trial_similarity
from neuroreg.simulator.simulate import simulate_scan

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


@pytest.mark.parametrize("entry", DEFAULT["scans"], ids=lambda entry: entry["name"])
def test_default_scans_as_written_have_the_papers_similarity(stimuli, tmp_path, entry):
    simulated = simulate_scan(
        stimuli,
        n_neurons=entry["n_neurons"],
        seed=DEFAULT["seed"],
        name=entry["name"],
        **DEFAULT["simulator"],
    )
    write_static_hdf5(tmp_path / "scan.h5", simulated.scan)
    found = as_the_figure_has_it(find_reader(tmp_path / "scan.h5").read(tmp_path / "scan.h5"), range(40))
    # One choice of single trials scatters; the mean of 40 has a standard error below 0.01.
    assert np.std(found) < 0.06
    assert np.mean(found) == pytest.approx(0.39, abs=0.03)


@pytest.mark.parametrize("n_neurons", [150, 1000, 3000])
def test_the_number_of_neurons_does_not_matter(stimuli, n_neurons):
    simulated = simulate_scan(stimuli, n_neurons=n_neurons, oracle_repeats=10, seed=2, name="b")
    assert np.mean(as_the_figure_has_it(simulated.scan, range(30))) == pytest.approx(0.39, abs=0.03)


def test_more_neurons_need_more_noise(stimuli):
    levels = [
        np.mean(
            [
                simulate_scan(stimuli, n_neurons=n, oracle_repeats=10, seed=3, name=name).truth.noise
                for name in "ab"
            ]
        )
        for n in (100, 1500)
    ]
    assert levels[1] > 1.2 * levels[0]


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


def test_calibration_finds_the_level_of_a_known_scan():
    rng = np.random.default_rng(4)
    image = np.repeat(np.arange(80), 6)
    signal, noise = rng.normal(size=(80, 60))[image], rng.normal(size=(480, 60))

    def observe(level):
        return signal + np.sqrt(level) * noise

    target = single_trial_similarity(observe(2.5), image, seed=5)
    assert calibrate_noise(observe, image, target, seed=5) == pytest.approx(2.5, rel=0.01)
    found = calibrate_noise(observe, image, target, seed=6)  # other single trials
    assert found == pytest.approx(2.5, rel=0.2)


def test_what_noise_cannot_give_is_refused():
    rng = np.random.default_rng(7)
    image = np.repeat(np.arange(40), 3)
    signal, noise = rng.normal(size=(40, 30))[image], rng.normal(size=(120, 30))
    message = (
        r"^single_trial_similarity 0.39 is out of reach \(noise of level \d+ gives 1.00\); expected a value"
    )
    with pytest.raises(InputError, match=message):
        calibrate_noise(lambda level: signal + 1e-3 * noise, image, 0.39, seed=1)
    with pytest.raises(InputError, match=r"^2 images repeated; expected at least 3\.$"):
        calibrate_noise(lambda level: signal[:6] + noise[:6], image[:6], 0.39, seed=1)


def test_of_a_few_images_the_nearest_level_is_taken(caplog):
    rng = np.random.default_rng(8)
    image = np.repeat(np.arange(12), 3)
    noise = rng.normal(size=(36, 30))
    assert calibrate_noise(lambda level: noise, image, 0.9, seed=1) == pytest.approx(np.exp(-4))
    assert "too few images (12) to set the noise by" in caplog.text
