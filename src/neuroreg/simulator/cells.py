"""Simulated neurons of mouse V1: what each sees, how strongly it answers, how behaviour and noise act on it.

One pixel is about 1.9 degrees: 36x64 pixels span about 68x120 degrees.
"""

from dataclasses import dataclass

import numpy as np

from neuroreg.scans.scan import STIMULUS_SHAPE

DEGREES_PER_PIXEL = 120 / STIMULUS_SHAPE[1]
FREQUENCY = (0.04, 0.6)  # median in cycles per degree, standard deviation of the logarithm
FREQUENCY_RANGE = (0.01, 0.16)
SIZE = (6.0, 0.3)  # degrees: envelope's standard deviation at the median frequency, spread of its logarithm
SIZE_EXPONENT = -0.5  # finer cells have smaller fields, which yet hold more cycles
ASPECTS = (0.8, 1.6)  # length of the envelope along the stripes over its width
SCATTER = (19.0, 11.0)  # degrees: standard deviation of the fields' centres about that of the screen (x, y)
COMPLEX_FRACTION = 0.5
RATE_SPREAD = 0.5  # standard deviation of the logarithm of the mean rate
MEAN_RATE = 1.0
# Share of a neuron's mean rate that no image changes. What is drawn above the largest share is set to it:
# neurons that hardly see, of which recordings hold as many or more (de Vries et al. 2020).
BASELINES = (0.1, 1.1)
LARGEST_BASELINE = 0.99
# Mean and spread of the log gain per standard deviation of pupil size or of running: behaviour then explains
# about 7 % of the responses' variance.
SENSITIVITY = (0.07, 0.06)
# Standard deviation of the logarithm of a neuron's noise, relative to the scan's level.
NOISINESS_SPREAD = 0.6


@dataclass(frozen=True, eq=False)
class GaborCells:
    """Gabor filters in quadrature; a simple cell uses the even one, a complex cell the energy of both.

    Attributes
    ----------
    even, odd
        float32 (pixels, N).
    is_complex
        bool (N,).
    frequency
        float (N,), of the carrier, cycles per degree.
    width
        float (N,), standard deviation of the envelope across the stripes, degrees.
    """

    even: np.ndarray
    odd: np.ndarray
    is_complex: np.ndarray
    frequency: np.ndarray
    width: np.ndarray

    @classmethod
    def draw(
        cls, count: int, rng: np.random.Generator, complex_fraction: float = COMPLEX_FRACTION
    ) -> "GaborCells":
        """Draw cells as they are found in mouse V1.

        Preferred frequencies lie between 0.01 and 0.16 cycles per degree with a median near 0.04, and most
        fields (the envelope at half its height) are 8 to 30 degrees wide (Niell & Stryker 2008; Bonin et al.
        2011; Marshel et al. 2011; Andermann et al. 2011). They narrow as the frequency rises, but less than
        a period does: coarse cells have one or two subfields, fine ones more, as Ringach (2002) found in
        monkeys. About half of the cells are simple; most prefer one orientation clearly (Niell & Stryker
        2008).
        """
        median, spread = FREQUENCY
        frequency = np.clip(median * np.exp(spread * rng.normal(size=count)), *FREQUENCY_RANGE)
        size, spread = SIZE
        width = size * (frequency / median) ** SIZE_EXPONENT * np.exp(spread * rng.normal(size=count))
        length = width * rng.uniform(*ASPECTS, count)
        orientation = rng.uniform(0, np.pi, count)
        phase = rng.uniform(0, 2 * np.pi, count)
        rows, columns = STIMULUS_SHAPE
        limits = np.array([[columns - 1], [rows - 1]]) * DEGREES_PER_PIXEL
        centre = limits / 2 + np.array(SCATTER)[:, None] * rng.normal(size=(2, count))
        x0, y0 = np.clip(centre, 0, limits)
        is_complex = rng.random(count) < complex_fraction

        y, x = (g.reshape(-1, 1) * DEGREES_PER_PIXEL for g in np.mgrid[:rows, :columns])
        across = (x - x0) * np.cos(orientation) + (y - y0) * np.sin(orientation)
        along = -(x - x0) * np.sin(orientation) + (y - y0) * np.cos(orientation)
        envelope = np.exp(-0.5 * ((across / width) ** 2 + (along / length) ** 2))
        envelope /= envelope.sum(axis=0)
        carrier = 2 * np.pi * frequency * across + phase
        even, odd = ((envelope * wave(carrier)).astype(np.float32) for wave in (np.cos, np.sin))
        return cls(even, odd, is_complex, frequency, width)

    def drive(self, images: np.ndarray) -> np.ndarray:
        """Return the rectified, squared output before normalisation: float32 (images, N)."""
        even, odd = images @ self.even, images @ self.odd
        return np.where(self.is_complex, even**2 + odd**2, np.maximum(even, 0) ** 2)


@dataclass(frozen=True, eq=False)
class Population:
    """Cells with all that turns their drive into a response.

    Attributes
    ----------
    cells
        What they see.
    rate
        float (N,), mean response over the stimuli.
    baseline
        float (N,), share of the mean response that no image changes.
    sensitivity
        float (2, N), change of the log response per standard deviation of pupil size and of running speed.
    noisiness
        float (N,), private noise relative to the scan's level; 1 on average.
    """

    cells: GaborCells
    rate: np.ndarray
    baseline: np.ndarray
    sensitivity: np.ndarray
    noisiness: np.ndarray

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator) -> "Population":
        """Draw a population.

        Mean rates are log-normal (Buzsaki & Mizuseki 2014). Baselines, rates and noise differ so much that
        many neurons are unreliable, as in recordings (de Vries et al. 2020). Arousal scales responses, most
        of them up (Niell & Stryker 2010; Reimer et al. 2014).
        """
        return cls(
            GaborCells.draw(count, rng),
            MEAN_RATE * _log_normal(RATE_SPREAD, count, rng),
            np.minimum(rng.uniform(*BASELINES, count), LARGEST_BASELINE),
            rng.normal(*SENSITIVITY, (2, count)),
            _log_normal(NOISINESS_SPREAD, count, rng),
        )


def _log_normal(spread: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of mean 1 whose logarithm has the given standard deviation."""
    return np.exp(rng.normal(-(spread**2) / 2, spread, count))
