import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from neuroreg.errors import InputError
from neuroreg.images.stimuli import Stimuli, make_stimuli
from neuroreg.scans.scan import Scan
from neuroreg.simulator.calibration import single_trial_similarity
from neuroreg.simulator.settings import FEWEST_POOL
from neuroreg.simulator.simulate import _behave, _shifted, simulate_scan

FIELDS = tuple(Scan.__dataclass_fields__)


@pytest.fixture(scope="module")
def stimuli():
    return make_stimuli("photographs", 300, 60, seed=1)


def simulate(stimuli, **changes):
    settings = {"n_neurons": 60, "oracle_repeats": 8, "seed": 1, "name": "a"}
    noise = {"single_trial_similarity": None, "mean_oracle": None, "noise": 1.0, "shared_noise": 0.5}
    return simulate_scan(stimuli, **{**settings, **noise, **changes})


@pytest.fixture(scope="module")
def simulated(stimuli):
    return simulate(stimuli)


@pytest.fixture(scope="module")
def noise_free(stimuli):
    return simulate(stimuli, noise=0.0, shared_noise=0.0)


def expected_per_trial(simulated, stimuli):
    row = {key: i for i, key in enumerate(stimuli.key)}
    scan = simulated.scan
    return simulated.truth.expected[[row[key] for key in scan.key[scan.image]]].astype(np.float64)


def arousal(scan):
    """Standardised pupil size and running speed, with a constant: (T, 3)."""
    columns = scan.behavior[:, [0, 2]].astype(np.float64)
    return np.column_stack([np.ones(len(columns)), stats.zscore(columns)])


def pupil_offset(scan):
    return np.linalg.norm(scan.pupil_center - np.median(scan.pupil_center, axis=0), axis=1)


def test_same_seed_and_name_give_the_same_bytes(stimuli, simulated):
    again = simulate(stimuli)
    assert again.truth.expected.tobytes() == simulated.truth.expected.tobytes()
    for name in FIELDS:
        assert getattr(again.scan, name).tobytes() == getattr(simulated.scan, name).tobytes(), name


@pytest.mark.parametrize("changes", [{"name": "b"}, {"seed": 2}])
def test_another_name_or_seed_is_another_animal(stimuli, simulated, changes):
    other = simulate(stimuli, **changes)
    for name in ("image", "responses", "behavior", "pupil_center"):
        assert not np.array_equal(getattr(other.scan, name), getattr(simulated.scan, name)), name
    pairs = np.corrcoef(other.truth.expected.T, simulated.truth.expected.T)[:60, 60:]
    assert np.diag(pairs).max() < 0.99  # no neuron came along


def test_more_neurons_begin_with_the_same_ones(stimuli, simulated):
    more = simulate(stimuli, n_neurons=300)
    assert more.truth.expected.shape == (360, 300)
    np.testing.assert_array_equal(more.truth.expected[:, :60], simulated.truth.expected)
    np.testing.assert_array_equal(more.scan.responses[:, :60], simulated.scan.responses)
    assert (
        np.corrcoef(more.truth.expected[:, :256].T, more.truth.expected[:, 256:].T)[:256, 256:].max() < 0.999
    )


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
    for rates in (simulated.truth.expected.mean(axis=0), simulated.scan.responses.mean(axis=0)):
        assert rates.min() > 0
        assert stats.skew(rates) > 1
        assert np.abs(stats.skew(np.log(rates))) < 0.5
    assert 0.8 < simulated.truth.expected.mean() < 1.2


def test_behaviour_is_autocorrelated(noise_free):
    behavior, pupil = noise_free.scan.behavior, noise_free.scan.pupil_center
    for trace in (behavior[:, 0], behavior[:, 2], pupil[:, 0], pupil[:, 1]):
        assert np.corrcoef(trace[1:], trace[:-1])[0, 1] > 0.3
    assert behavior[:, [0, 2]].min() >= 0
    assert np.corrcoef(behavior[:, 0], behavior[:, 2])[0, 1] > 0.2


def test_behaviours_traces_have_the_stated_spread():
    behavior, pupil = _behave(40_000, np.random.default_rng(0))
    size, change, running = behavior.T
    assert np.log(size).std() == pytest.approx(0.25, rel=0.05)
    np.testing.assert_array_equal(change[1:-1], (size[2:] - size[:-2]) / 2)
    # It runs half of the time, then as fast as the positive half of a normal variable of deviation 8.
    still = running < 0.5
    assert still.mean() == pytest.approx(0.5, abs=0.06)
    assert np.square(running[~still]).mean() == pytest.approx(64, rel=0.15)
    np.testing.assert_allclose(pupil.mean(axis=0), [80, 60], atol=0.2)
    np.testing.assert_allclose(pupil.std(axis=0), [4, 2.5], rtol=0.03)
    assert abs(np.corrcoef(pupil.T)[0, 1]) < 0.05


def test_fields_move_with_the_pupil():
    # 0.4 pixels of the image for one of the camera: 2 to the right and 3 down.
    contrast = np.random.default_rng(1).normal(size=(2, 36, 64)).astype(np.float32)
    pupil = np.array([[80 + 5, 60 + 7.5], [80.0, 60.0], [80 - 2.5, 60]])
    seen = _shifted(contrast, np.array([1, 0, 0]), pupil).reshape(3, 36, 64)
    np.testing.assert_allclose(seen[0, :-3, :-2], contrast[1, 3:, 2:], atol=1e-5)
    np.testing.assert_allclose(seen[1], contrast[0], atol=1e-5)
    np.testing.assert_allclose(seen[2, :, 1:], contrast[0, :, :-1], atol=1e-5)
    # Beyond an edge its values go on.
    np.testing.assert_allclose(seen[2, :, 0], contrast[0, :, 0], atol=1e-5)


def test_the_shared_gain_varies_as_images_make_responses_vary(stimuli, noise_free):
    noisy = simulate(stimuli, noise=0.0, shared_noise=1.0)
    gain = np.log(noisy.scan.responses / noise_free.scan.responses)
    expected = noise_free.truth.expected.astype(np.float64)
    variance = np.log1p((expected.std(axis=0) / expected.mean(axis=0)) ** 2)
    ratio = gain.var(axis=0) / variance  # log-normal, of mean 1
    assert np.median(ratio) == pytest.approx(1, abs=0.06)
    assert np.abs(ratio - 1).max() < 0.35
    np.testing.assert_allclose(gain.mean(axis=0), -variance / 2, atol=0.2 * np.sqrt(variance).max())


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


def test_noise_leaves_the_mean_and_has_the_stated_variance(stimuli):
    # The truth's v says how much of each neuron's variance over repeated trials is noise.
    mean = simulate(stimuli, noise=0.0, shared_noise=0.0).scan.responses.astype(np.float64)
    simulated = simulate(stimuli, noise=0.1)
    error = simulated.scan.responses - mean
    test = simulated.scan.tier == "test"
    variance = mean[test].var(axis=0) * (1 / simulated.truth.v**2 - 1)
    ratio = error[test].var(axis=0) / variance

    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert np.abs(error.mean(axis=0) / np.sqrt(variance)).max() < 0.15
    # Trials shown once are drawn apart from repeated ones, but from the same noise.
    assert (error[~test].var(axis=0) / variance).mean() == pytest.approx(1, abs=0.15)


def test_the_level_is_set_to_the_similarity_of_single_trials(stimuli):
    for target in (0.3, 0.5):
        simulated = simulate(stimuli, noise=None, single_trial_similarity=target)
        test = simulated.scan.tier == "test"
        responses, image = simulated.scan.responses[test], simulated.scan.image[test]
        assert single_trial_similarity(responses, image, seed=5) == pytest.approx(target, abs=0.03)
        fixed = simulate(stimuli, noise=simulated.truth.noise)
        np.testing.assert_array_equal(fixed.scan.responses, simulated.scan.responses)


@pytest.mark.parametrize("level", [0, 90])
def test_images_that_are_all_the_same_are_refused(stimuli, level):
    flat = np.full_like(stimuli.images, level)
    for which, alike in (("oracle", stimuli.oracle), ("pool", ~stimuli.oracle)):
        images = np.where(alike[:, None, None], flat, stimuli.images)
        with pytest.raises(InputError) as refused:
            simulate(replace(stimuli, images=images))
        assert str(refused.value) == (
            f"simulated scan 'a': all {alike.sum()} {which} images are the same; expected different ones, "
            "of which responses can tell."
        )


def test_neurons_that_no_image_drives_keep_their_baseline():
    # Black but for one bright corner: most fields see the same in all images.
    images = np.zeros((20, 36, 64), np.uint8)
    images[:, :2, :2] = np.arange(1, 21)[:, None, None]
    dim = Stimuli(images, np.array([f"c/{i}" for i in range(20)]), np.arange(20) < 5)
    with np.errstate(all="raise", under="ignore"):
        simulated = simulate(dim, n_neurons=300)
    assert np.isfinite(simulated.scan.responses).all()
    still = np.ptp(simulated.truth.expected, axis=0) == 0
    assert still.any()
    assert (simulated.truth.expected[:, still] > 0).all()


@cache
def small_pool(size, seed):
    return make_stimuli("photographs", size, 3, seed=seed)


@pytest.mark.parametrize("dropped", [0.0, 0.02, 0.3, 0.9])
def test_the_smallest_pool_leaves_two_trials_to_fit_and_two_to_validate(dropped):
    for pool in (FEWEST_POOL, FEWEST_POOL - 1):
        fewest = {"train": pool, "validation": pool}
        for seed in range(8):
            scan = simulate(small_pool(pool, seed), n_neurons=2, dropped_fraction=dropped, seed=seed).scan
            for tier in fewest:
                fewest[tier] = min(fewest[tier], int((scan.tier == tier).sum()))
        assert fewest["train"] >= 2
        # One fewer, and there are never two.
        assert fewest["validation"] == (2 if pool == FEWEST_POOL else 1)


def test_dropping_takes_the_last_trials_but_for_those_that_a_fit_needs():
    stimuli = make_stimuli("photographs", 20, 5, seed=4)
    whole = simulate(stimuli, n_neurons=2, oracle_repeats=2, dropped_fraction=0.0, seed=4).scan
    for dropped in (0.05, 0.5, 0.95):
        scan = simulate(stimuli, n_neurons=2, oracle_repeats=2, dropped_fraction=dropped, seed=4).scan
        order = list(zip(whole.key[whole.image].tolist(), whole.tier.tolist(), strict=True))
        left = order[: 30 - round(30 * dropped)]
        for tier in ("train", "validation"):
            left += [one for one in [one for one in order if one[1] == tier][:2] if one not in left]
        found = list(zip(scan.key[scan.image].tolist(), scan.tier.tolist(), strict=True))
        assert sorted(found) == sorted(left)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_neurons": 0}, "simulated scan 'a': n_neurons is 0; expected at least 1"),
        ({"oracle_repeats": 0}, "oracle_repeats is 0; expected at least 1"),
        ({"noise": -0.1}, "noise is -0.1; expected 0 to 100"),
        ({"noise": float("nan")}, "noise is nan; expected 0 to 100"),
        ({"noise": 1e5}, "noise is 100000.0; expected 0 to 100"),
        ({"shared_noise": -1.0}, "shared_noise is -1.0; expected 0 to 100"),
        (
            {"noise": None},
            "simulated scan 'a': found shared_noise 0.5; expected two numbers for single_trial_similarity, ",
        ),
        (
            {"noise": None, "shared_noise": None},
            "simulated scan 'a': found none; expected two numbers for single_trial_similarity, mean_orac",
        ),
        (
            {"single_trial_similarity": 0.39},
            "found single_trial_similarity 0.39, noise 1, shared_noise 0.5; expected two numbers for single",
        ),
        ({"noise": None, "mean_oracle": 1.0}, "mean_oracle is 1.0; expected between 0 and 1"),
        ({"noise": None, "single_trial_similarity": 1.0}, "is 1.0; expected between 0 and 1"),
        (
            {"noise": None, "single_trial_similarity": 0.99},
            "simulated scan 'a': single_trial_similarity 0.99 is out of reach of 60 neurons (noise of l",
        ),
        (
            {"noise": None, "single_trial_similarity": 0.39, "oracle_repeats": 1},
            "simulated scan 'a': 0 images repeated; expected at least 3",
        ),
        ({"dropped_fraction": 1.0}, "dropped_fraction is 1.0; expected 0 or more, less than 1"),
    ],
)
def test_settings_out_of_range(stimuli, changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        simulate(stimuli, **changes)
