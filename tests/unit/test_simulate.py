import numpy as np
import pytest
from scipy import stats

from neuroreg.data.stimuli import Stimuli, make_stimuli
from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan
from neuroreg.scans.simulate import simulate_scan

FIELDS = tuple(Scan.__dataclass_fields__)


@pytest.fixture(scope="module")
def stimuli():
    return make_stimuli("photographs", 300, 60, seed=1)


def simulate(stimuli, **changes):
    settings = {"n_neurons": 60, "oracle_repeats": 8, "seed": 1, "name": "a"}
    return simulate_scan(stimuli, **{**settings, **changes})


@pytest.fixture(scope="module")
def simulated(stimuli):
    return simulate(stimuli)


@pytest.fixture(scope="module")
def noise_free(stimuli):
    return simulate(stimuli, noise=0.0)


def expected_per_trial(simulated, stimuli):
    row = {key: i for i, key in enumerate(stimuli.key)}
    scan = simulated.scan
    return simulated.expected[[row[key] for key in scan.key[scan.image]]].astype(np.float64)


def arousal(scan):
    """Standardised pupil size and running speed, with a constant: (T, 3)."""
    columns = scan.behavior[:, [0, 2]].astype(np.float64)
    return np.column_stack([np.ones(len(columns)), stats.zscore(columns)])


def pupil_offset(scan):
    return np.linalg.norm(scan.pupil_center - np.median(scan.pupil_center, axis=0), axis=1)


def test_same_seed_and_name_give_the_same_bytes(stimuli, simulated):
    again = simulate(stimuli)
    assert again.expected.tobytes() == simulated.expected.tobytes()
    for name in FIELDS:
        assert getattr(again.scan, name).tobytes() == getattr(simulated.scan, name).tobytes(), name


@pytest.mark.parametrize("changes", [{"name": "b"}, {"seed": 2}])
def test_another_name_or_seed_is_another_animal(stimuli, simulated, changes):
    other = simulate(stimuli, **changes)
    for name in ("image", "responses", "behavior", "pupil_center"):
        assert not np.array_equal(getattr(other.scan, name), getattr(simulated.scan, name)), name
    pairs = np.corrcoef(other.expected.T, simulated.expected.T)[:60, 60:]
    assert np.diag(pairs).max() < 0.99  # no neuron came along


def test_more_neurons_begin_with_the_same_ones(stimuli, simulated):
    more = simulate(stimuli, n_neurons=300)
    assert more.expected.shape == (360, 300)
    np.testing.assert_array_equal(more.expected[:, :60], simulated.expected)
    np.testing.assert_array_equal(more.scan.responses[:, :60], simulated.scan.responses)
    assert np.corrcoef(more.expected[:, :256].T, more.expected[:, 256:].T)[:256, 256:].max() < 0.999


def test_presentations(stimuli, simulated):
    scan = simulated.scan
    presented = 300 + 60 * 8
    assert len(scan.image) == presented - round(0.02 * presented)
    oracle = set(stimuli.key[stimuli.oracle])
    assert {key in oracle for key in scan.key[scan.image[scan.tier == "test"]]} == {True}
    assert {key in oracle for key in scan.key[scan.image[scan.tier != "test"]]} == {False}
    whole = simulate(stimuli, dropped_fraction=0.0).scan
    assert {tier: int((whole.tier == tier).sum()) for tier in set(whole.tier)} == {
        "train": 270,
        "validation": 30,
        "test": 480,
    }
    assert {len(trials) for trials in whole.oracle_trials().values()} == {8}
    assert stats.spearmanr(np.arange(presented), whole.tier == "test").pvalue > 1e-3  # the order is shuffled


def test_dropped_trials_leave_ragged_repeats(stimuli):
    scan = simulate(stimuli, dropped_fraction=0.2).scan
    assert len(scan.image) == 624
    counts = {len(trials) for trials in scan.oracle_trials().values()}
    assert len(counts) > 2 and max(counts) <= 8
    assert sorted(set(scan.image)) == list(range(len(scan.images)))  # no image without a trial
    assert len(scan.images) < 360
    pixels = dict(zip(stimuli.key, stimuli.images, strict=True))
    for key, image in zip(scan.key, scan.images, strict=True):
        np.testing.assert_array_equal(image, pixels[key])


def test_mean_rates_are_skewed(stimuli):
    simulated = simulate(stimuli, n_neurons=250)
    for rates in (simulated.expected.mean(axis=0), simulated.scan.responses.mean(axis=0)):
        assert rates.min() > 0
        assert stats.skew(rates) > 1
        assert np.abs(stats.skew(np.log(rates))) < 0.5
    assert 0.8 < simulated.expected.mean() < 1.2


def test_behaviour_is_autocorrelated(noise_free):
    behavior, pupil = noise_free.scan.behavior, noise_free.scan.pupil_center
    for trace in (behavior[:, 0], behavior[:, 2], pupil[:, 0], pupil[:, 1]):
        assert np.corrcoef(trace[1:], trace[:-1])[0, 1] > 0.3
    assert behavior[:, [0, 2]].min() >= 0
    assert np.corrcoef(behavior[:, 0], behavior[:, 2])[0, 1] > 0.2


def test_behaviour_multiplies_and_the_pupil_shifts_the_noise_free_responses(noise_free, stimuli):
    scan = noise_free.scan
    ratio = np.log(scan.responses / expected_per_trial(noise_free, stimuli))
    design = arousal(scan)
    offset = pupil_offset(scan)
    resting = offset < np.quantile(offset, 0.2)
    fit, *_ = np.linalg.lstsq(design[resting], ratio[resting], rcond=None)
    # With the pupil near its rest, behaviour alone explains how responses differ from the truth.
    explained = 1 - np.var(ratio[resting] - design[resting] @ fit, axis=0) / np.var(ratio[resting], axis=0)
    assert np.median(explained) > 0.5
    assert np.median(fit[1]) > 0.05 and fit[1].std() > 0.05  # sensitivities are positive and differ
    assert np.abs(np.median(fit[0])) < 0.05  # average behaviour leaves the responses as they are
    # What is left grows with the pupil's distance from rest.
    left = np.median(np.abs(ratio - design @ fit), axis=1)
    assert stats.spearmanr(offset, left).statistic > 0.5


def test_noise_has_the_stated_mean_and_variance(stimuli):
    noise = 0.7
    mean = simulate(stimuli, noise=0.0).scan.responses.astype(np.float64)
    error = simulate(stimuli, noise=noise).scan.responses - mean
    variance = noise * mean + noise * mean**2
    assert np.abs((error / np.sqrt(variance)).mean()) < 5 / np.sqrt(error.size)
    for group in (mean < 0.5, (mean >= 0.5) & (mean < 2), mean >= 2):
        np.testing.assert_allclose((error[group] ** 2).mean(), variance[group].mean(), rtol=0.15)


def similarity(responses):
    centred = responses - responses.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred @ centred.T)[np.triu_indices(len(centred), 1)]


def test_single_trials_are_as_unreliable_as_the_paper_found():
    stimuli = make_stimuli("photographs", 300, 100, seed=1)
    scores = []
    for name in ("a", "b"):
        simulated = simulate_scan(stimuli, n_neurons=200, oracle_repeats=10, seed=1, name=name)
        repeats = [simulated.scan.responses[t] for t in simulated.scan.oracle_trials().values()]
        means = np.array([r.mean(axis=0) for r in repeats])
        w = np.sqrt(means.var(axis=0) / np.mean([r.var(axis=0) for r in repeats], axis=0))
        for k in range(min(map(len, repeats))):
            single = similarity(w * np.array([r[k] for r in repeats]))
            others = similarity(w * np.array([np.delete(r, k, axis=0).mean(axis=0) for r in repeats]))
            scores.append(np.corrcoef(single, others)[0, 1])
    assert 0.29 < np.mean(scores) < 0.49  # the paper: 0.39


def test_tuning_to_gratings_is_that_of_mouse_v1():
    frequencies = np.array([0.01, 0.02, 0.04, 0.08, 0.16, 0.24])  # cycles per degree
    orientations, phases = np.arange(8) * np.pi / 8, np.arange(8) * np.pi / 4
    y, x = np.mgrid[:36, :64] * (120 / 64)  # degrees
    f, o, p = (
        g.ravel()[:, None, None] for g in np.meshgrid(frequencies, orientations, phases, indexing="ij")
    )
    waves = np.cos(2 * np.pi * f * (x * np.cos(o) + y * np.sin(o)) + p)
    gratings = Stimuli(
        np.rint(127.5 + 127 * waves).astype(np.uint8),
        np.array([f"grating/{i:03d}" for i in range(len(waves))]),
        np.arange(len(waves)) < 2,
    )
    simulated = simulate_scan(gratings, n_neurons=200, oracle_repeats=2, noise=0.0, seed=1, name="a")
    driven = simulated.expected - simulated.expected.min(axis=0)
    tuning = driven.reshape(6, 8, 8, 200)
    best = tuning.mean(axis=2).max(axis=1).argmax(axis=0)
    assert np.isin(frequencies[best], [0.02, 0.04, 0.08]).mean() > 0.9
    by_orientation = tuning.mean(axis=2)[best, :, np.arange(200)]
    assert len(set(by_orientation.argmax(axis=1))) == 8
    opposite = (by_orientation.argmax(axis=1) + 4) % 8
    selectivity = 1 - by_orientation[np.arange(200), opposite] / by_orientation.max(axis=1)
    assert np.median(selectivity) > 0.5
    by_phase = tuning[best, by_orientation.argmax(axis=1), :, np.arange(200)]
    # Complex cells hardly care for the phase of their best grating; simple cells follow it.
    modulation = 2 * np.abs(np.fft.rfft(by_phase, axis=1)[:, 1]) / by_phase.sum(axis=1)
    assert 0.35 < (modulation > 1).mean() < 0.65
    assert ((modulation > 0.6) & (modulation < 1)).mean() < 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_neurons": 0}, "simulated scan 'a': n_neurons is 0; expected at least 1"),
        ({"oracle_repeats": 0}, "oracle_repeats is 0; expected at least 1"),
        ({"noise": -0.1}, r"noise is -0\.1; expected 0 or more"),
        ({"noise": float("nan")}, "noise is nan; expected 0 or more"),
        ({"dropped_fraction": 1.0}, r"dropped_fraction is 1\.0; expected 0 or more, less than 1"),
    ],
)
def test_settings_out_of_range(stimuli, changes, message):
    with pytest.raises(InputError, match=message):
        simulate(stimuli, **changes)
