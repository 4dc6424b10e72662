"""One simulated session: which image each trial shows, and what the animal does meanwhile."""

import numpy as np
from scipy import ndimage

from neuroreg.data.stimuli import Stimuli
from neuroreg.scans.simulated_cells import COLUMNS, ROWS

_PUPIL_AT_REST = np.array([80.0, 60.0])  # camera pixels
_SHIFT = 0.4  # pixels of the image that the receptive fields move per camera pixel of pupil position
_VALIDATION_FRACTION = 0.1


def presentations(
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


def behave(trials: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
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


def shifted(contrast: np.ndarray, shown: np.ndarray, pupil_center: np.ndarray) -> np.ndarray:
    """Return what each trial's receptive fields, moved with the pupil (x, y), see: float32 (T, pixels)."""
    offset = _SHIFT * (pupil_center - _PUPIL_AT_REST)
    moved = np.empty((len(shown), ROWS * COLUMNS), np.float32)
    for trial, (x, y) in enumerate(offset):
        # Fields that move right see what an image moved left would show to fields at rest.
        view = ndimage.shift(contrast[shown[trial]], (-y, -x), order=1, mode="nearest")
        moved[trial] = view.ravel()
    return moved
