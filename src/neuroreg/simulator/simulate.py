"""A simulated scan of mouse V1: neurons whose true responses are known, in the shape of a measured one.

Gabor simple and complex cells, divided by the activity of a common pool (Heeger 1992), that saturate
(Albrecht & Hamilton 1982), with skewed mean rates; behaviour scales the responses, the pupil's position
shifts the receptive fields, and trials are noisy.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from neuroreg.errors import InputError
from neuroreg.images.stimuli import Stimuli
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed
from neuroreg.simulator.calibration import NoiseTargets, calibrate_noise
from neuroreg.simulator.cells import GaborCells, Population
from neuroreg.simulator.settings import (
    FEWEST_OF_TIER,
    LARGEST_LEVEL,
    VALIDATION_FRACTION,
    SimulatorSettings,
)
from neuroreg.simulator.trial_noise import NoiseLevels, TrialNoise, tuned_loading
from neuroreg.simulator.truth import SimulatedTruth, ideal_correlation, true_weight

_PUPIL_AT_REST = np.array([80.0, 60.0])  # camera pixels
_SHIFT = 0.4  # pixels of the image that the receptive fields move per camera pixel of pupil position
_POOL_CELLS = 128
_POOL_SATURATION = 0.5  # constant of the divisive normalisation, in units of the pool's mean activity
_HALF_SATURATION = 2.0  # normalised drive, relative to its mean, at half of the largest response
_FLUCTUATIONS = 256  # that neurons share, beside behaviour: each like an image that comes and goes
_BLOCK = 256  # neurons at once: fixed, because each block has its own random streams
_DEFAULTS = SimulatorSettings()


@dataclass(frozen=True, eq=False)
class SimulatedScan:
    """A scan and the truth behind it.

    Parameters
    ----------
    scan
        What a laboratory would have.
    truth
        What nobody knows of a measured scan.
    """

    scan: Scan
    truth: SimulatedTruth


def simulate_scan(
    stimuli: Stimuli,
    *,
    n_neurons: int,
    oracle_repeats: int,
    single_trial_similarity: float | None = _DEFAULTS.single_trial_similarity,
    mean_oracle: float | None = _DEFAULTS.mean_oracle,
    noise: float | None = _DEFAULTS.noise,
    shared_noise: float | None = _DEFAULTS.shared_noise,
    dropped_fraction: float = _DEFAULTS.dropped_fraction,
    seed: int,
    name: str,
) -> SimulatedScan:
    """Simulate one scan in which each pool image is shown once and each oracle image several times, shuffled.

    Oracle images are the test tier; of the others a tenth is validation and the rest train. The scan's images
    are those that still have a trial, sorted by key as the reader of measured scans sorts them.

    Parameters
    ----------
    stimuli
        What is shown.
    n_neurons
        How many neurons; half of them complex cells. See `Population` for how they differ.
    oracle_repeats
        How often each oracle image is shown before trials are dropped; the paper has 10.
    single_trial_similarity
        Noise is set so that the similarities of the scan's single trials correlate this well with those
        averaged over the other repeats, see `calibration.single_trial_similarity`; the paper has 0.39.
    mean_oracle
        Noise is set so that neurons' oracle correlations have this mean, see `calibration.mean_oracle`.
    noise, shared_noise
        Instead of one target or both, fixed levels of private and of shared noise, see `NoiseLevels`; two of
        the four are numbers, two are None.
    dropped_fraction
        Share of trials left out at random, as those with missing covariates are in measured scans; two of
        the train and two of the validation tier stay.
    seed, name
        Decide everything drawn; scans of different names have different neurons, behaviour and order.

    Raises
    ------
    InputError
        If a number is out of range, not two of the four that decide the noise are given, no noise meets the
        targets, or all oracle or all pool images are the same.
    """
    targets = NoiseTargets(single_trial_similarity, mean_oracle, noise, shared_noise)
    _check(n_neurons, oracle_repeats, targets, dropped_fraction, name)
    for which, chosen in (("oracle", stimuli.oracle), ("pool", ~stimuli.oracle)):
        images = stimuli.images[chosen]
        if len(images) > 1 and (images == images[0]).all():
            raise InputError(
                f"simulated scan '{name}': all {len(images)} {which} images are the same; expected different"
                " ones, of which responses can tell."
            )

    def rng(*purpose: str | int) -> np.random.Generator:
        return np.random.default_rng(derive_seed(seed, "simulated scan", name, *purpose))

    shown, tier = _present(stimuli, oracle_repeats, dropped_fraction, rng("trials"))
    behavior, pupil_center = _behave(len(shown), rng("behavior"))
    expected, responses, trial_noise = _evoke(stimuli.images, shown, behavior, pupil_center, n_neurons, rng)
    repeated, single = np.flatnonzero(tier == "test"), np.flatnonzero(tier != "test")

    def observe(levels: NoiseLevels, block: slice, trials: np.ndarray) -> np.ndarray:
        # Repeated trials have streams of their own: calibration draws them alone, again at every level.
        stream = rng("noise", "repeated" if trials is repeated else "single", block.start)
        return trial_noise.part(trials, block).observe(responses[trials, block], levels, stream)

    try:
        levels = calibrate_noise(
            lambda levels: np.hstack([observe(levels, block, repeated) for block in _blocks(n_neurons)]),
            shown[repeated],
            targets,
            seed,
        )
    except InputError as error:
        raise InputError(f"simulated scan '{name}': {error}") from error
    w, v = np.empty((2, n_neurons))
    for block in _blocks(n_neurons):
        mean = responses[repeated, block].astype(np.float64)
        variance = trial_noise.part(repeated, block).variance(mean, levels)
        w[block] = true_weight(mean, variance, shown[repeated])
        v[block] = ideal_correlation(mean, variance)
        for trials in (repeated, single):
            responses[trials, block] = observe(levels, block, trials)

    scan = _as_scan(stimuli, shown, tier, responses, behavior, pupil_center)
    return SimulatedScan(scan, SimulatedTruth(stimuli.key, expected, levels.private, levels.shared, w, v))


def _check(
    n_neurons: int, oracle_repeats: int, targets: NoiseTargets, dropped_fraction: float, name: str
) -> None:
    if len(targets.given()) != 2:
        found = ", ".join(f"{key} {value:g}" for key, value in targets.given().items()) or "none"
        raise InputError(
            f"simulated scan '{name}': found {found}; expected two numbers for single_trial_similarity,"
            " mean_oracle, noise and shared_noise."
        )
    shares = {
        key: (value, 0 < value < 1, "between 0 and 1")
        for key, value in targets.given().items()
        if key in ("single_trial_similarity", "mean_oracle")
    }
    levels = {
        key: (value, 0 <= value <= LARGEST_LEVEL, f"0 to {LARGEST_LEVEL:g}")
        for key, value in targets.given().items()
        if key in ("noise", "shared_noise")
    }
    sizes = {
        "n_neurons": (n_neurons, n_neurons >= 1, "at least 1"),
        "oracle_repeats": (oracle_repeats, oracle_repeats >= 1, "at least 1"),
        "dropped_fraction": (dropped_fraction, 0 <= dropped_fraction < 1, "0 or more, less than 1"),
    }
    for key, (value, valid, expected) in {**sizes, **shares, **levels}.items():
        if not valid:
            raise InputError(f"simulated scan '{name}': {key} is {value}; expected {expected}.")


def _blocks(n_neurons: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, n_neurons)) for start in range(0, n_neurons, _BLOCK)]


def _present(
    stimuli: Stimuli, oracle_repeats: int, dropped_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the stimulus (T,) and the tier (T,) of each trial."""
    tier = np.where(stimuli.oracle, "test", "train").astype("<U10")
    single = np.flatnonzero(~stimuli.oracle)
    tier[rng.choice(single, round(VALIDATION_FRACTION * len(single)), replace=False)] = "validation"
    shown = np.repeat(np.arange(len(tier)), np.where(stimuli.oracle, oracle_repeats, 1))
    rng.shuffle(shown)
    kept = np.arange(len(shown)) < len(shown) - round(dropped_fraction * len(shown))
    for needed in ("train", "validation"):
        kept[np.flatnonzero(tier[shown] == needed)[:FEWEST_OF_TIER]] = True
    shown = shown[kept]
    return shown, tier[shown]


def _behave(trials: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return pupil size, its change and running speed (T, 3), and pupil position (T, 2) in camera pixels."""
    arousal = _slow(trials, 0.95, rng)
    pupil = 30 * np.exp(0.25 * (0.8 * arousal + 0.6 * _slow(trials, 0.7, rng)))
    running = 8 * np.maximum(0.6 * arousal + 0.8 * _slow(trials, 0.85, rng), 0) + 0.5 * rng.random(trials)
    behavior = np.column_stack([pupil, np.gradient(pupil) if trials > 1 else np.zeros(trials), running])
    wander = np.column_stack([_slow(trials, 0.6, rng) for _ in range(2)])
    return behavior, _PUPIL_AT_REST + np.array([4.0, 2.5]) * wander


def _slow(trials: int, persistence: float, rng: np.random.Generator) -> np.ndarray:
    """Return a stationary first-order autoregressive trace of unit variance."""
    steps = rng.normal(size=trials) * np.sqrt(1 - persistence**2)
    value = rng.normal()
    trace = np.empty(trials)
    for t in range(trials):
        value = trace[t] = persistence * value + steps[t]
    return trace


def _shifted(contrast: np.ndarray, shown: np.ndarray, pupil_center: np.ndarray) -> np.ndarray:
    """Return what each trial's receptive fields, moved with the pupil (x, y), see: float32 (T, pixels)."""
    offset = _SHIFT * (pupil_center - _PUPIL_AT_REST)
    moved = np.empty((len(shown), contrast[0].size), np.float32)
    for trial, (x, y) in enumerate(offset):
        # Fields that move right see what an image moved left would show to fields at rest.
        view = ndimage.shift(contrast[shown[trial]], (-y, -x), order=1, mode="nearest")
        moved[trial] = view.ravel()
    return moved


def _evoke(
    images: np.ndarray,
    shown: np.ndarray,
    behavior: np.ndarray,
    pupil_center: np.ndarray,
    n_neurons: int,
    rng: Callable[..., np.random.Generator],
) -> tuple[np.ndarray, np.ndarray, TrialNoise]:
    """Return mean responses to images at rest (P, N) and in each trial (T, N), and the noise about them."""
    contrast = _contrast(images)
    at_rest = contrast.reshape(len(contrast), -1)
    moved = _shifted(contrast, shown, pupil_center)
    pool = GaborCells.draw(_POOL_CELLS, rng("pool"), complex_fraction=1.0)
    pool_at_rest, pool_moved = (pool.drive(views).mean(axis=1, keepdims=True) for views in (at_rest, moved))
    saturation = _POOL_SATURATION * pool_at_rest.mean()
    arousal = (behavior[:, [0, 2]] - behavior[:, [0, 2]].mean(axis=0)) / behavior[:, [0, 2]].std(axis=0)
    expected = np.empty((len(images), n_neurons), np.float32)
    mean = np.empty((len(shown), n_neurons), np.float32)
    noisiness, depth = np.empty((2, n_neurons))
    fluctuating = rng("fluctuating images").permutation(len(images))[:_FLUCTUATIONS]
    loading = np.empty((len(fluctuating), n_neurons), np.float32)
    for block in _blocks(n_neurons):
        neurons, used = Population.draw(_BLOCK, rng("neurons", block.start)), slice(block.stop - block.start)
        tuned = neurons.cells.drive(at_rest) / (saturation + pool_at_rest)
        half = _HALF_SATURATION * tuned.mean(axis=0)
        # Neurons that none of these images drives are left with their baseline.
        half[half == 0] = 1
        tuned /= half + tuned
        driven = tuned.mean(axis=0)
        scale = np.divide(1 - neurons.baseline, driven, out=np.zeros(len(driven)), where=driven > 0)
        expected[:, block] = (neurons.rate * (neurons.baseline + scale * tuned))[:, used]
        tuned = neurons.cells.drive(moved) / (saturation + pool_moved)
        tuned /= half + tuned
        gain = np.exp(arousal @ neurons.sensitivity)
        mean[:, block] = (gain * neurons.rate * (neurons.baseline + scale * tuned))[:, used]
        noisiness[block] = neurons.noisiness[used]
        depth[block] = expected[:, block].std(axis=0) / expected[:, block].mean(axis=0)
        loading[:, block] = tuned_loading(expected[fluctuating, block])
    fluctuation = rng("fluctuations").standard_normal((len(shown), len(fluctuating)), np.float32)
    return expected, mean, TrialNoise(noisiness, depth, loading, fluctuation)


def _contrast(images: np.ndarray) -> np.ndarray:
    """Return images about the mean gray of all of them, in its units: what adapted neurons see."""
    mean = images.mean(dtype=np.float64)
    return ((images - mean) / mean).astype(np.float32)


def _as_scan(
    stimuli: Stimuli,
    shown: np.ndarray,
    tier: np.ndarray,
    responses: np.ndarray,
    behavior: np.ndarray,
    pupil_center: np.ndarray,
) -> Scan:
    """Return what a laboratory has of the trials; of the stimuli those that were shown, sorted by key."""
    present = np.unique(shown)
    present = present[np.argsort(stimuli.key[present], kind="stable")]
    position = np.zeros(len(stimuli.key), np.int64)
    position[present] = np.arange(len(present))
    neurons = responses.shape[1]
    return Scan(
        images=stimuli.images[present],
        key=stimuli.key[present],
        image=position[shown],
        tier=tier,
        responses=responses,
        behavior=behavior.astype(np.float32),
        pupil_center=pupil_center.astype(np.float32),
        unit_id=np.arange(1, neurons + 1, dtype=np.int64),
        area=np.full(neurons, "V1"),
        layer=np.full(neurons, "L2/3"),
    )
