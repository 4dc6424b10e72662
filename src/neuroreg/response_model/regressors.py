"""What the linear baselines see of a trial: standardised pixels and covariates."""

from dataclasses import dataclass

import numpy as np

from neuroreg.scans.scan import Scan

LARGEST = 3.0  # standard deviations; an exponential gain explodes at single outlying trials


@dataclass(frozen=True, eq=False)
class Regressors:
    """Statistics of a scan's training trials, and the regressors that they standardise.

    Attributes
    ----------
    pixel_mean, pixel_std
        Of all pixels of the images shown, one number each: contrast differences between pixels stay.
    covariate_mean, covariate_std
        float64 (B + 2,), of behaviour and pupil position; the deviation is 1 for a constant one.
    """

    pixel_mean: float
    pixel_std: float
    covariate_mean: np.ndarray
    covariate_std: np.ndarray

    @classmethod
    def of(cls, scan: Scan, trials: np.ndarray) -> "Regressors":
        """Return the regressors whose statistics are those of the given trials of a scan."""
        shown = scan.images[scan.image[trials]]
        covariates = _covariates(scan, trials)
        deviation = covariates.std(0)
        return cls(
            float(shown.mean(dtype=np.float64)),
            float(shown.std(dtype=np.float64)) or 1.0,
            covariates.mean(0),
            np.where(deviation > 1e-6, deviation, 1),
        )

    def pixels(self, scan: Scan, trials: np.ndarray) -> np.ndarray:
        """Return the standardised pixels of each trial's image, float32 (K, H W)."""
        shown = scan.images[scan.image[trials]].reshape(len(trials), -1)
        return (shown - np.float32(self.pixel_mean)) / np.float32(self.pixel_std)

    def covariates(self, scan: Scan, trials: np.ndarray) -> np.ndarray:
        """Return ones and the standardised covariates, cut at 3 deviations, float32 (K, 1 + B + 2)."""
        values = (_covariates(scan, trials) - self.covariate_mean) / self.covariate_std
        values = np.clip(values, -LARGEST, LARGEST)
        return np.column_stack([np.ones(len(trials)), values]).astype(np.float32)


def _covariates(scan: Scan, trials: np.ndarray) -> np.ndarray:
    return np.column_stack([scan.behavior[trials], scan.pupil_center[trials]]).astype(np.float64)
