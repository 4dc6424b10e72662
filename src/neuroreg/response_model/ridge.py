"""Ridge regression of each neuron's responses on pixels and covariates: the linear baseline."""

from dataclasses import dataclass

import numpy as np

from neuroreg.scans.reliability import deviation_or_one
from neuroreg.scans.scan import Scan, usable_trials

NEURONS = 1024  # at a time; bounds the memory
PENALTIES = 10.0 ** np.arange(-2, 4.1, 0.5)  # per training trial, in units of a pixel's variance
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
        return cls(
            float(shown.mean(dtype=np.float64)),
            float(shown.std(dtype=np.float64)) or 1.0,
            covariates.mean(0),
            deviation_or_one(covariates, 0),
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


@dataclass(frozen=True, eq=False)
class Design:
    """Regressors of training and validation trials.

    Attributes
    ----------
    x, x_validation
        float (T, P) and (V, P), penalised.
    d, d_validation
        float (T, D) and (V, D), not penalised, the first column ones.
    """

    x: np.ndarray
    d: np.ndarray
    x_validation: np.ndarray
    d_validation: np.ndarray


@dataclass(frozen=True, eq=False)
class RidgeModel:
    """A fitted ridge regression.

    Attributes
    ----------
    regressors
        What the weights apply to.
    pixel_weight
        float32 (H W, N).
    covariate_weight
        float32 (1 + B + 2, N), the first row the intercept.
    penalty
        float64 (N,), chosen from `PENALTIES`.
    """

    regressors: Regressors
    pixel_weight: np.ndarray
    covariate_weight: np.ndarray
    penalty: np.ndarray

    def predict(self, scan: Scan, trials: np.ndarray) -> np.ndarray:
        """Return the expected responses in given trials of a scan, float32 (K, N), in its units."""
        drive = self.regressors.pixels(scan, trials) @ self.pixel_weight
        return drive + self.regressors.covariates(scan, trials) @ self.covariate_weight


def fit_ridge(scan: Scan) -> RidgeModel:
    """Fit a ridge regression to the training trials of a scan, its penalties chosen on the validation trials.

    Parameters
    ----------
    scan
        The scan.

    Raises
    ------
    InputError
        If the scan has too few usable training or validation trials.
    """
    train, validation = usable_trials(scan)
    regressors = Regressors.of(scan, train)
    design = Design(
        regressors.pixels(scan, train),
        regressors.covariates(scan, train),
        regressors.pixels(scan, validation),
        regressors.covariates(scan, validation),
    )
    w, c, penalty = solve_ridge(design, scan.responses[train], scan.responses[validation], PENALTIES)
    return RidgeModel(regressors, w.astype(np.float32), c.astype(np.float32), penalty)


def solve_ridge(
    design: Design, y: np.ndarray, y_validation: np.ndarray, penalties: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ridge weights for each neuron at the penalty with the smallest squared error in validation.

    Minimises ``|y - x w - d c|^2 + T penalty |w|^2`` with T trials. The covariates d are projected out of
    both sides first, so that they are not penalised. One eigen-decomposition serves all neurons and
    penalties.

    Parameters
    ----------
    design
        Regressors.
    y, y_validation
        float (T, N) and (V, N).
    penalties
        float (L,), above 0.

    Returns
    -------
    w, c : numpy.ndarray
        float64 (P, N) and (D, N).
    penalty : numpy.ndarray
        float64 (N,).
    """
    x, d = np.asarray(design.x, np.float64), np.asarray(design.d, np.float64)
    project = np.linalg.pinv(d)
    x_on_d = project @ x
    x = x - d @ x_on_d
    values, axes = principal_axes(x)
    scores = x @ axes
    validation_scores = (design.x_validation - design.d_validation @ x_on_d) @ axes
    neurons, trials = y.shape[1], len(x)
    w, c = np.empty((x.shape[1], neurons)), np.empty((d.shape[1], neurons))
    chosen = np.empty(neurons)
    for start in range(0, neurons, NEURONS):
        block = slice(start, start + NEURONS)
        target = np.asarray(y[:, block], np.float64)
        y_on_d = project @ target
        # Orthogonal to d, the scores need no residuals of the responses.
        moments = scores.T @ target
        unexplained = y_validation[:, block] - design.d_validation @ y_on_d
        errors = [
            np.square(unexplained - validation_scores @ (moments / (values + trials * penalty)[:, None])).sum(
                0
            )
            for penalty in penalties
        ]
        chosen[block] = penalties[np.argmin(errors, 0)]
        w[:, block] = axes @ (moments / (values[:, None] + trials * chosen[block]))
        c[:, block] = y_on_d - x_on_d @ w[:, block]
    return w, c, chosen


def principal_axes(x: np.ndarray, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the axes of largest second moment of `x`, from the smaller of its two Gram matrices.

    Parameters
    ----------
    x
        float (T, P).
    most
        Keep at most so many.

    Returns
    -------
    values : numpy.ndarray
        float64 (K,), descending, each above 1e-10 of the largest: the summed squares of ``x @ axes``.
    axes : numpy.ndarray
        float64 (P, K), orthonormal columns.
    """
    x = np.asarray(x, np.float64)
    wide = x.shape[0] < x.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = np.flatnonzero(values > max(1e-10 * values[0], 0))[:most]
    values, vectors = values[kept], vectors[:, kept]
    return values, x.T @ vectors / np.sqrt(values) if wide else vectors
