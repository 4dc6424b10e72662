"""The simulated population against what is known of mouse V1."""

import numpy as np
import pytest
from scipy import stats

from neuroreg.images.stimuli import Stimuli, make_stimuli
from neuroreg.scans.reliability import jackknife_oracle
from neuroreg.simulator.cells import DEGREES_PER_PIXEL, GaborCells, Population
from neuroreg.simulator.simulate import simulate_scan

FREQUENCIES = np.array([0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24])  # cycles per degree
NEURONS = 300


@pytest.fixture(scope="module")
def tuning():
    """Responses above each neuron's least to gratings: (frequencies, orientations, phases, neurons)."""
    orientations, phases = np.arange(8) * np.pi / 8, np.arange(8) * np.pi / 4
    y, x = np.mgrid[:36, :64] * (120 / 64)  # degrees
    f, o, p = (
        g.ravel()[:, None, None] for g in np.meshgrid(FREQUENCIES, orientations, phases, indexing="ij")
    )
    waves = np.cos(2 * np.pi * f * (x * np.cos(o) + y * np.sin(o)) + p)
    gratings = Stimuli(
        np.rint(127.5 + 127 * waves).astype(np.uint8),
        np.array([f"grating/{i:03d}" for i in range(len(waves))]),
        np.arange(len(waves)) < 2,
    )
    silent = {"single_trial_similarity": None, "mean_oracle": None, "noise": 0.0, "shared_noise": 0.0}
    settings = {"oracle_repeats": 2, "seed": 1, "name": "a"}
    expected = simulate_scan(gratings, n_neurons=NEURONS, **silent, **settings).truth.expected
    return (expected - expected.min(axis=0)).reshape(len(FREQUENCIES), 8, 8, NEURONS)


@pytest.fixture(scope="module")
def at_best_frequency(tuning):
    best = tuning.mean(axis=2).max(axis=1).argmax(axis=0)
    return tuning[best, :, :, np.arange(NEURONS)]  # (neurons, orientations, phases)


@pytest.fixture(scope="module")
def recorded():
    stimuli = make_stimuli("photographs", 300, 100, seed=1)
    return simulate_scan(stimuli, n_neurons=NEURONS, oracle_repeats=10, seed=1, name="a")


def test_preferred_frequencies(tuning):
    # Niell & Stryker 2008; Marshel et al. 2011; Andermann et al. 2011 (five octaves among neighbours).
    preferred = FREQUENCIES[tuning.mean(axis=2).max(axis=1).argmax(axis=0)]
    assert 0.03 <= np.median(preferred) <= 0.05
    assert ((preferred >= 0.01) & (preferred <= 0.16)).mean() > 0.9
    assert ((preferred >= 0.02) & (preferred <= 0.08)).mean() > 0.6
    assert (preferred <= 0.01).mean() > 0.03 and (preferred >= 0.12).mean() > 0.05


def test_receptive_fields_are_as_wide_as_recorded_ones():
    # 10 to 30 degrees: Niell & Stryker 2008, Bonin et al. 2011. Here: the envelope's area above half height.
    cells = GaborCells.draw(400, np.random.default_rng(2))
    envelope = np.hypot(cells.even, cells.odd)
    area = (envelope > envelope.max(axis=0) / 2).sum(axis=0) * DEGREES_PER_PIXEL**2
    diameter = 2 * np.sqrt(area / np.pi)
    assert 12 < np.median(diameter) < 20
    assert ((diameter > 7) & (diameter < 35)).mean() > 0.9
    # Finer cells are smaller, but hold more cycles.
    assert stats.spearmanr(cells.frequency, diameter).statistic < -0.4
    assert stats.spearmanr(cells.frequency, diameter * cells.frequency).statistic > 0.4


def test_orientations_and_their_selectivity(at_best_frequency):
    # Every orientation occurs; most cells, not all, have a selectivity above 0.5 (Niell & Stryker 2008).
    by_orientation = at_best_frequency.mean(axis=2)
    preferred = by_orientation.argmax(axis=1)
    assert np.bincount(preferred, minlength=8).min() > NEURONS / 8 / 2
    best = by_orientation.max(axis=1)
    orthogonal = by_orientation[np.arange(NEURONS), (preferred + 4) % 8]
    selectivity = (best - orthogonal) / (best + orthogonal)
    assert 0.7 < (selectivity > 0.5).mean() < 0.99


def test_half_of_the_cells_are_simple(at_best_frequency):
    # The usual criterion, F1 / F0 above or below 1, and two clear groups (Niell & Stryker 2008).
    preferred = at_best_frequency.mean(axis=2).argmax(axis=1)
    by_phase = at_best_frequency[np.arange(NEURONS), preferred]
    modulation = 2 * np.abs(np.fft.rfft(by_phase, axis=1)[:, 1]) / by_phase.sum(axis=1)
    assert 0.35 < (modulation > 1).mean() < 0.65
    assert ((modulation > 0.6) & (modulation < 1)).mean() < 0.2


def test_an_orthogonal_grating_suppresses_the_response_to_the_preferred_one():
    # Divisive normalisation (Heeger 1992): what drives the pool alone lowers the others' responses.
    y, x = np.mgrid[:36, :64] * (120 / 64)

    def wave(orientation, phase):
        return np.cos(
            2 * np.pi * 0.04 * (x * np.cos(orientation) + y * np.sin(orientation)) + phase * np.pi / 2
        )

    orientations = np.arange(4) * np.pi / 4
    alone = [wave(o, p) for o in orientations for p in range(4)]
    plaids = [wave(o, p) + wave(o + np.pi / 2, q) for o in orientations for p in range(4) for q in range(4)]
    images = np.rint(127.5 + 60 * np.array(alone + plaids)).astype(np.uint8)
    key = np.array([f"grating/{i:03d}" for i in range(len(images))])
    stimuli = Stimuli(images, key, np.arange(len(images)) < 2)
    silent = {"single_trial_similarity": None, "mean_oracle": None, "noise": 0.0, "shared_noise": 0.0}
    truth = simulate_scan(stimuli, n_neurons=NEURONS, oracle_repeats=2, seed=1, name="a", **silent).truth
    above = truth.expected - truth.expected.min(axis=0)
    best, neuron = above[:16].argmax(axis=0), np.arange(NEURONS)
    masked = above[16:].reshape(16, 4, NEURONS).mean(axis=1)[best, neuron]
    ratio = masked / above[best, neuron]
    assert np.median(ratio) < 0.85
    assert (ratio < 1).mean() > 0.8


def test_mean_rates_are_log_normal(recorded):
    # Buzsaki & Mizuseki 2014.
    for rates in (recorded.truth.expected.mean(axis=0), recorded.scan.responses.mean(axis=0)):
        assert rates.min() > 0
        assert stats.skew(rates) > 1
        assert np.abs(stats.skew(np.log(rates))) < 0.5
    assert 0.8 < recorded.truth.expected.mean() < 1.2


def test_reliability_differs_and_is_low_in_many_neurons(recorded):
    # Some neurons hardly respond to any image, others reliably (de Vries et al. 2020).
    w = recorded.truth.w
    low, median, high = np.quantile(w, [0.1, 0.5, 0.9])
    assert low < 0.15
    assert high > 0.4
    assert high > 4 * low
    # A mean oracle of 0.35 at 10 repeats is that of a neuron with w = 0.47: (1 + r) (1 + r / 9) = 1 / 0.35^2
    # for noise of r = 1 / w^2 times the signal.
    assert median == pytest.approx(0.47, abs=0.12)
    test = recorded.scan.tier == "test"
    oracle = jackknife_oracle(recorded.scan.responses[test], recorded.scan.image[test])
    assert oracle.mean() == pytest.approx(0.35, abs=0.03)
    assert (oracle < 0.1).mean() > 0.1
    assert (oracle > 0.5).mean() > 0.1
    assert stats.spearmanr(oracle, w).statistic > 0.8


def test_noise_is_correlated_between_neurons_but_weakly(recorded):
    # Means of 0.01 (Ecker et al. 2010) to 0.18 (awake mouse V1, Denman & Contreras 2014), of either sign.
    test = recorded.scan.tier == "test"
    responses, image = recorded.scan.responses[test].astype(float), recorded.scan.image[test]
    for i in np.unique(image):
        responses[image == i] -= responses[image == i].mean(axis=0)
    pairs = np.corrcoef(responses.T)[np.triu_indices(NEURONS, 1)]
    assert 0.01 < pairs.mean() < 0.12
    assert 0.05 < pairs.std() < 0.2  # chance alone: 0.03
    # Neurons of similar tuning share more of it (Cohen & Kohn 2011).
    tuning = np.corrcoef(recorded.truth.expected.T)[np.triu_indices(NEURONS, 1)]
    assert stats.spearmanr(pairs, tuning).statistic > 0.3


def test_arousal_mostly_raises_responses():
    population = Population.draw(500, np.random.default_rng(3))
    assert 0.7 < (population.sensitivity > 0).mean() < 0.95
    assert population.noisiness.mean() == pytest.approx(1, abs=0.15)
