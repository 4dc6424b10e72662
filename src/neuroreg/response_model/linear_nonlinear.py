"""Linear-nonlinear model of each neuron: one filter, a positive nonlinearity, a gain from the covariates."""

from dataclasses import dataclass

import numpy as np

from neuroreg.response_model.localisation import locate_receptive_fields
from neuroreg.response_model.ridge import NEURONS, PENALTIES, Design, Regressors, principal_axes, solve_ridge
from neuroreg.scans.reliability import by_blocks, deviation_or_one
from neuroreg.scans.scan import Scan, usable_trials

GRID = 4  # pixels between windows' centres
WINDOW = 6.0  # standard deviation of a window's square in pixels
REACH = 2.5  # standard deviations at which a window ends
AXES = 100  # principal axes of the windowed images that a filter is made of
PRIOR_TRIALS = 10.0  # that say that covariates change nothing; matters with some tens of trials only
ITERATIONS = 16
FLOOR = np.float32(1e-6)  # of the nonlinearity, so that its logarithm is finite


@dataclass(frozen=True, eq=False)
class LinearNonlinearModel:
    """A fitted linear-nonlinear model: ``rate = exp(d gain) softplus(x filter + offset)``.

    Attributes
    ----------
    regressors
        Give standardised pixels x and covariates d.
    filter
        float32 (H W, N), 0 outside each neuron's window.
    offset
        float32 (N,).
    gain
        float32 (1 + B + 2, N), the first row the logarithm of the amplitude.
    """

    regressors: Regressors
    filter: np.ndarray
    offset: np.ndarray
    gain: np.ndarray

    def predict(self, scan: Scan, trials: np.ndarray) -> np.ndarray:
        """Return the expected responses in given trials of a scan, float32 (K, N), in its units, positive."""
        drive = self.regressors.pixels(scan, trials) @ self.filter + self.offset
        return np.exp(self.regressors.covariates(scan, trials) @ self.gain) * softplus(drive)[0]


def softplus(drive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``log(1 + exp(drive))``, a little above 0, and its derivative."""
    small = np.exp(-np.abs(drive))
    return np.maximum(drive, 0) + np.log1p(small) + FLOOR, np.where(drive > 0, 1, small) / (1 + small)


def fit_linear_nonlinear(scan: Scan) -> LinearNonlinearModel:
    """Fit a linear-nonlinear model to the training trials of a scan by penalised Poisson likelihood.

    A filter is confined to a Gaussian window where `locate_receptive_fields` places the neuron, and starts
    from ridge regression there, which also chooses the penalty on the validation trials. Of all iterations
    the one with the best validation likelihood is kept. Negative responses count as 0.

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
    x, x_validation = regressors.pixels(scan, train), regressors.pixels(scan, validation)
    d, d_validation = regressors.covariates(scan, train), regressors.covariates(scan, validation)
    y, y_validation = (np.maximum(scan.responses[trials], 0) for trials in (train, validation))
    scale = by_blocks(lambda block: deviation_or_one(block.astype(np.float64), 0), y).astype(np.float32)
    y /= scale
    y_validation /= scale

    used, image = np.unique(scan.image[train], return_inverse=True)
    centres = np.rint(locate_receptive_fields(scan.images[used], image, y) / GRID) * GRID
    neurons = y.shape[1]
    filters = np.zeros((x.shape[1], neurons), np.float32)
    offset = np.empty(neurons, np.float32)
    gain = np.empty((d.shape[1], neurons), np.float32)
    for centre in np.unique(centres, axis=0):
        inside, window = window_around(centre, scan.images.shape[1:])
        windowed = x[:, inside] * window
        mean = windowed.mean(0)
        axes = principal_axes(windowed - mean, AXES)[1].astype(np.float32)
        scores = (windowed - mean) @ axes
        design = Design(scores, d, (x_validation[:, inside] * window - mean) @ axes, d_validation)
        members = np.flatnonzero((centres == centre).all(1))
        for block in np.split(members, range(NEURONS, len(members), NEURONS)):
            weights, shift, gain[:, block] = fit_poisson(
                design, y[:, block], y_validation[:, block], PENALTIES
            )
            filters[np.ix_(inside, block)] = window[:, None] * (axes @ weights)
            offset[block] = shift - mean @ axes @ weights
    gain[0] += np.log(scale)
    return LinearNonlinearModel(regressors, filters, offset, gain)


def window_around(centre: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels, int (P,), of a flattened image near `centre` (x, y), and their float32 weights."""
    y, x = np.mgrid[: shape[0], : shape[1]].reshape(2, -1)
    squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    inside = np.flatnonzero(squared <= (REACH * WINDOW) ** 2)
    return inside, np.exp(-squared[inside] / (4 * WINDOW**2)).astype(np.float32)


def fit_poisson(
    design: Design,
    y: np.ndarray,
    y_validation: np.ndarray,
    penalties: np.ndarray,
    *,
    iterations: int = ITERATIONS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the parameters of ``exp(d gain) softplus(x weights + offset)`` of each neuron.

    Fisher scoring; for the weights, the mean curvature over trials stands for each trial's own, so that the
    axes of `design.x`, which are principal, stay uncoupled. A neuron whose objective rises goes back and
    takes smaller steps.

    Parameters
    ----------
    design
        Regressors, float32; x on principal axes.
    y, y_validation
        float32 (T, N) and (V, N), at least 0, of about unit variance.
    penalties
        As in `solve_ridge`.
    iterations
        How often to step. By default few: what is missing to the maximum hardly changes predictions.

    Returns
    -------
    weights, offset, gain : numpy.ndarray
        float32 (P, N), (N,) and (D, N).
    """
    block = _PoissonBlock(design, y, y_validation, penalties)
    step = np.ones(y.shape[1], np.float32)
    accepted, best = np.full(len(step), np.inf), np.full(len(step), np.inf)
    kept, last = block.parameters.copy(), block.parameters.copy()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(iterations):
            rate, relative, loss = block.evaluate(design.x, design.d, y)
            objective = block.penalised(loss)
            rises = ~(objective <= accepted)
            step = np.where(rises, 0.3 * step, np.minimum(1.5 * step, 1)).astype(np.float32)
            accepted = np.where(rises, accepted, objective)
            if rises.any():
                block.parameters[:, rises] = last[:, rises]
                rate, relative, _ = block.evaluate(design.x, design.d, y)
            validation_loss = block.evaluate(design.x_validation, design.d_validation, y_validation)[2]
            better = validation_loss < best
            best = np.where(better, validation_loss, best)
            kept[:, better] = block.parameters[:, better]
            last = block.parameters.copy()
            block.step(step, rate, relative)
    return block.split(kept)


class _PoissonBlock:
    """Neurons that `fit_poisson` fits together.

    Their parameters, float32 (P + 1 + D, N), have a row for each weight, for the offset, for each gain. They
    start from ridge's filter, the mean response and no gain.
    """

    def __init__(
        self, design: Design, y: np.ndarray, y_validation: np.ndarray, penalties: np.ndarray
    ) -> None:
        self.design, self.y = design, y
        covariates = design.d.shape[1]
        weights, _, penalty = solve_ridge(design, y, y_validation, penalties)
        mean = np.maximum(y.mean(0), 1e-3)
        offset = mean + np.log(-np.expm1(-mean))  # where the nonlinearity is the mean, however large it is
        start = np.vstack([weights / softplus(offset)[1], offset, np.zeros((covariates, len(mean)))])
        self.parameters = start.astype(np.float32)
        self.energy = np.square(design.x).sum(0)[:, None]
        self.products = (design.d[:, :, None] * design.d[:, None]).reshape(len(y), -1)
        # The logarithm of the amplitude is free.
        self.prior = np.float32(PRIOR_TRIALS) * (np.arange(covariates) > 0)[:, None] * mean
        rate, relative, _ = self.evaluate(design.x, design.d, y)
        # The same shrinkage as ridge's at the likelihood's curvature.
        self.ridge = (rate * relative**2).mean(0) * np.float32(len(y)) * penalty.astype(np.float32)

    def split(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return views of weights, offset and gain."""
        axes = self.design.x.shape[1]
        return parameters[:axes], parameters[axes], parameters[axes + 1 :]

    def evaluate(
        self, x: np.ndarray, d: np.ndarray, observed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rates, their logarithms' slopes by the drive, and each neuron's summed Poisson loss."""
        weights, offset, gain = self.split(self.parameters)
        value, slope = softplus(x @ weights + offset)
        rate = np.exp(d @ gain) * value
        return rate, slope / value, (rate - observed * np.log(rate)).sum(0, dtype=np.float64)

    def penalised(self, loss: np.ndarray) -> np.ndarray:
        """Return what each neuron minimises: its loss with the penalties of weights and gains."""
        weights, _, gain = self.split(self.parameters)
        objective = loss + 0.5 * (self.ridge * np.square(weights)).sum(0)
        objective += 0.5 * (self.prior * np.square(gain)).sum(0)
        return objective

    def step(self, size: np.ndarray, rate: np.ndarray, relative: np.ndarray) -> None:
        """Move the parameters, by a share of the full step for each neuron, from where `evaluate` stood."""
        weights, offset, gain = self.split(self.parameters)
        x, d = self.design.x, self.design.d
        surplus = rate - self.y
        by_drive, curvature = surplus * relative, rate * relative**2
        weights -= (
            size * (x.T @ by_drive + self.ridge * weights) / (self.energy * curvature.mean(0) + self.ridge)
        )
        total = rate.sum(0)
        offset -= size * by_drive.sum(0) / (curvature.sum(0) + 1e-3 * total)
        covariates = d.shape[1]
        information = (self.products.T @ rate).T.reshape(-1, covariates, covariates)
        diagonal = np.eye(covariates, dtype=np.float32)
        information = information + (self.prior.T + 1e-3 * total[:, None])[:, None] * diagonal
        gradient = (d.T @ surplus + self.prior * gain).T[:, :, None]
        gain -= size * np.linalg.solve(information, gradient)[:, :, 0].T
