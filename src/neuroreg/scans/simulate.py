"""A simulated scan of mouse V1: neurons whose true responses are known, in the shape of a measured one.

Gabor simple and complex cells, divided by the activity of a common pool, with skewed mean rates; behaviour
scales the responses, the pupil's position shifts the receptive fields, and trials are noisy. One pixel is
about 1.9 degrees: 36x64 pixels span about 68x120 degrees.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from neuroreg.data.stimuli import Stimuli
from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed

_ROWS, _COLUMNS = 36, 64
_PIXELS_PER_DEGREE = 64 / 120
_FREQUENCIES = (0.02, 0.08)  # cycles per degree; log-uniform
_SIZES = (0.25, 0.5)  # standard deviation of the envelope in periods of the carrier
_ASPECTS = (0.8, 1.6)  # length of the envelope along the stripes over its width
_COMPLEX_FRACTION = 0.5
_RATE_SPREAD = 0.8  # standard deviation of the logarithm of the mean rate
_MEAN_RATE = 1.0
_BASELINES = (0.05, 0.5)  # share of a neuron's mean rate that no image changes
_POOL_CELLS = 128
_POOL_SATURATION = 0.5  # constant of the divisive normalisation, in units of the pool's mean activity
_SHIFT = 0.4  # pixels that the receptive fields move per unit of pupil position
_BLOCK = 256  # neurons at once: fixed, because each block has its own random stream
_VALIDATION_FRACTION = 0.1


@dataclass(frozen=True, eq=False)
class SimulatedScan:
    """A scan and the truth behind it.

    Parameters
    ----------
    scan
        What a laboratory would have.
    expected
        float32 (P, N): the mean response of each neuron to each stimulus, in the order of the stimuli, at
        average behaviour and with the pupil at rest.
    """

    scan: Scan
    expected: np.ndarray


def simulate_scan(
    stimuli: Stimuli,
    *,
    n_neurons: int,
    oracle_repeats: int,
    noise: float = 1.4,
    dropped_fraction: float = 0.02,
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
        How many neurons; half of them complex cells.
    oracle_repeats
        How often each oracle image is shown before trials are dropped; the paper has 10.
    noise
        Level of trial noise: variance is `noise` times the mean (Poisson at 1) plus `noise` times the squared
        mean (gamma-distributed excitability); 0 is no noise. With the default, 150 to 300 neurons and 100
        oracle images, the similarities of single trials correlate with those averaged over the other repeats
        at about the paper's 0.39.
    dropped_fraction
        Share of trials left out at random, as those with missing covariates are in measured scans.
    seed, name
        Decide everything drawn; scans of different names have different neurons, behaviour and order.

    Raises
    ------
    InputError
        If a number is out of range.
    """
    _check(n_neurons, oracle_repeats, noise, dropped_fraction, name)
    shown, tier = _presentations(stimuli, oracle_repeats, dropped_fraction, _rng(seed, name, "trials"))
    behavior, pupil_center = _behave(len(shown), _rng(seed, name, "behavior"))
    contrast = _contrast(stimuli.images)
    at_rest = contrast.reshape(len(contrast), -1)
    moved = _shifted(contrast, shown, pupil_center)
    pool = _Cells.draw(_POOL_CELLS, _rng(seed, name, "pool"), complex_fraction=1.0)
    pool_at_rest, pool_moved = (pool.drive(images).mean(axis=1, keepdims=True) for images in (at_rest, moved))
    saturation = _POOL_SATURATION * pool_at_rest.mean()

    arousal = (behavior[:, [0, 2]] - behavior[:, [0, 2]].mean(axis=0)) / behavior[:, [0, 2]].std(axis=0)
    expected = np.empty((len(contrast), n_neurons), np.float32)
    responses = np.empty((len(shown), n_neurons), np.float32)
    for start in range(0, n_neurons, _BLOCK):
        rng = _rng(seed, name, "neurons", start)
        cells = _Cells.draw(_BLOCK, rng)
        rate = _MEAN_RATE * np.exp(rng.normal(-(_RATE_SPREAD**2) / 2, _RATE_SPREAD, _BLOCK))
        baseline = rng.uniform(*_BASELINES, _BLOCK)
        sensitivity = rng.normal([[0.15], [0.15]], 0.15, (2, _BLOCK))
        tuned = cells.drive(at_rest) / (saturation + pool_at_rest)
        scale = (1 - baseline) / tuned.mean(axis=0)
        block = slice(start, min(start + _BLOCK, n_neurons))
        used = slice(0, block.stop - start)
        expected[:, block] = (rate * (baseline + scale * tuned))[:, used]
        tuned = cells.drive(moved) / (saturation + pool_moved)
        mean = np.exp(arousal @ sensitivity) * rate * (baseline + scale * tuned)
        responses[:, block] = _observed(mean, noise, rng)[:, used]

    present = np.unique(shown)
    present = present[np.argsort(stimuli.key[present], kind="stable")]
    position = np.zeros(len(contrast), np.int64)
    position[present] = np.arange(len(present))
    scan = Scan(
        images=stimuli.images[present],
        key=stimuli.key[present],
        image=position[shown],
        tier=tier,
        responses=responses,
        behavior=behavior.astype(np.float32),
        pupil_center=pupil_center.astype(np.float32),
        unit_id=np.arange(1, n_neurons + 1, dtype=np.int64),
        area=np.full(n_neurons, "V1"),
        layer=np.full(n_neurons, "L2/3"),
    )
    return SimulatedScan(scan, expected)


def _check(n_neurons: int, oracle_repeats: int, noise: float, dropped_fraction: float, name: str) -> None:
    for key, value, valid, expected in (
        ("n_neurons", n_neurons, n_neurons >= 1, "at least 1"),
        ("oracle_repeats", oracle_repeats, oracle_repeats >= 1, "at least 1"),
        ("noise", noise, 0 <= noise < np.inf, "0 or more"),
        ("dropped_fraction", dropped_fraction, 0 <= dropped_fraction < 1, "0 or more, less than 1"),
    ):
        if not valid:
            raise InputError(f"simulated scan '{name}': {key} is {value}; expected {expected}.")


def _rng(seed: int, name: str, *purpose: str | int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, "simulated scan", name, *purpose))


def _presentations(
    stimuli: Stimuli, oracle_repeats: int, dropped_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the stimulus (T,) and the tier (T,) of each trial."""
    tier = np.where(stimuli.oracle, "test", "train").astype("<U10")
    single = np.flatnonzero(~stimuli.oracle)
    tier[rng.choice(single, round(_VALIDATION_FRACTION * len(single)), replace=False)] = "validation"
    shown = np.repeat(np.arange(len(tier)), np.where(stimuli.oracle, oracle_repeats, 1))
    rng.shuffle(shown)
    shown = shown[: len(shown) - round(dropped_fraction * len(shown))]
    return shown, tier[shown]


def _behave(trials: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return pupil size, its change and running speed (T, 3), and pupil position (T, 2) in camera pixels."""
    arousal = _slow(trials, 0.95, rng)
    pupil = 30 * np.exp(0.25 * (0.8 * arousal + 0.6 * _slow(trials, 0.7, rng)))
    running = 8 * np.maximum(0.6 * arousal + 0.8 * _slow(trials, 0.85, rng), 0) + 0.5 * rng.random(trials)
    behavior = np.column_stack([pupil, np.gradient(pupil) if trials > 1 else np.zeros(trials), running])
    wander = np.column_stack([_slow(trials, 0.6, rng) for _ in range(2)])
    return behavior, np.array([80.0, 60.0]) + np.array([4.0, 2.5]) * wander


def _slow(trials: int, persistence: float, rng: np.random.Generator) -> np.ndarray:
    """Return a stationary first-order autoregressive trace of unit variance."""
    steps = rng.normal(size=trials) * np.sqrt(1 - persistence**2)
    value = rng.normal()
    trace = np.empty(trials)
    for t in range(trials):
        value = trace[t] = persistence * value + steps[t]
    return trace


def _contrast(images: np.ndarray) -> np.ndarray:
    """Return images about the mean gray of all of them, in its units: what adapted neurons see."""
    mean = images.mean(dtype=np.float64)
    return ((images - mean) / mean).astype(np.float32)


def _shifted(contrast: np.ndarray, shown: np.ndarray, pupil_center: np.ndarray) -> np.ndarray:
    """Return what each trial's receptive fields, moved with the pupil (x, y), see: float32 (T, pixels)."""
    offset = _SHIFT * (pupil_center - np.array([80.0, 60.0]))
    moved = np.empty((len(shown), _ROWS * _COLUMNS), np.float32)
    for trial, (x, y) in enumerate(offset):
        # Fields that move right see what an image moved left would show to fields at rest.
        view = ndimage.shift(contrast[shown[trial]], (-y, -x), order=1, mode="nearest")
        moved[trial] = view.ravel()
    return moved


@dataclass(frozen=True)
class _Cells:
    """Gabor filters in quadrature; a simple cell uses the even one, a complex cell the energy of both."""

    even: np.ndarray  # float32 (pixels, cells)
    odd: np.ndarray
    is_complex: np.ndarray

    @classmethod
    def draw(
        cls, count: int, rng: np.random.Generator, complex_fraction: float = _COMPLEX_FRACTION
    ) -> "_Cells":
        frequency = np.exp(rng.uniform(*np.log(_FREQUENCIES), count)) / _PIXELS_PER_DEGREE
        width = rng.uniform(*_SIZES, count) / frequency
        length = width * rng.uniform(*_ASPECTS, count)
        orientation = rng.uniform(0, np.pi, count)
        phase = rng.uniform(0, 2 * np.pi, count)
        x0 = np.clip(rng.normal(_COLUMNS / 2, 10, count), 0, _COLUMNS - 1)
        y0 = np.clip(rng.normal(_ROWS / 2, 6, count), 0, _ROWS - 1)
        is_complex = rng.random(count) < complex_fraction

        y, x = (g.reshape(-1, 1) for g in np.mgrid[:_ROWS, :_COLUMNS])
        across = (x - x0) * np.cos(orientation) + (y - y0) * np.sin(orientation)
        along = -(x - x0) * np.sin(orientation) + (y - y0) * np.cos(orientation)
        envelope = np.exp(-0.5 * ((across / width) ** 2 + (along / length) ** 2))
        envelope /= envelope.sum(axis=0)
        carrier = 2 * np.pi * frequency * across + phase
        even, odd = ((envelope * wave(carrier)).astype(np.float32) for wave in (np.cos, np.sin))
        return cls(even, odd, is_complex)

    def drive(self, images: np.ndarray) -> np.ndarray:
        """Return the rectified, squared output before normalisation: float32 (images, cells)."""
        even, odd = images @ self.even, images @ self.odd
        return np.where(self.is_complex, even**2 + odd**2, np.maximum(even, 0) ** 2)


def _observed(mean: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return noisy responses of the given mean, in steps of `noise` as if events were counted."""
    if noise == 0:
        return mean
    excitability = rng.gamma(1 / noise, noise, mean.shape)
    return noise * rng.poisson(mean * excitability / noise)
