"""Fit the predictive model to a scan."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from neuroreg.devices import full_float32, send
from neuroreg.errors import InputError
from neuroreg.files.resume import ResumeFile, copied
from neuroreg.response_model.localisation import locate_receptive_fields
from neuroreg.response_model.model import ResponseModel
from neuroreg.response_model.predict import predict_trials
from neuroreg.response_model.settings import ARCHITECTURE, FitSettings
from neuroreg.scans.reliability import deviation_or_one, single_trial_correlation
from neuroreg.scans.scan import Scan, usable_trials
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)
REDUCTION = 0.3  # factor on the learning rate


@dataclass(frozen=True)
class FittedResponseModel:
    """A fitted model and how the fit went.

    Attributes
    ----------
    model
        The best state, in eval mode.
    settings
        What it was fitted with.
    history
        One mapping an epoch: epoch, learning_rate, train_loss, validation_correlation.
    validation_correlation
        Mean over neurons of the correlation over validation trials, of the best state.
    """

    model: ResponseModel
    settings: FitSettings
    history: list[dict[str, float]]
    validation_correlation: float


def empty_model(
    neurons: int, behaviors: int, settings: FitSettings, generator: Generator | None = None
) -> ResponseModel:
    """Return a model of the given sizes that knows nothing of any scan."""
    architecture = {name: getattr(settings, name) for name in ARCHITECTURE}
    return ResponseModel(neurons, behaviors, settings.contexts, **architecture, generator=generator)


def build_model(scan: Scan, trials: np.ndarray, settings: FitSettings, seed: int) -> ResponseModel:
    """Return an unfitted model whose statistics, contexts, positions and biases come from training trials."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "initial weights"))
    model = empty_model(scan.responses.shape[1], scan.behavior.shape[1], settings, generator)
    used, image = np.unique(scan.image[trials], return_inverse=True)
    images, responses = scan.images[used], scan.responses[trials].astype(np.float64)
    contexts = np.random.default_rng(derive_seed(seed, "contexts")).choice(
        trials, settings.contexts, replace=len(trials) < settings.contexts
    )
    statistics = {
        "image_mean": images.mean(),
        "image_std": deviation_or_one(images),
        "response_std": deviation_or_one(responses, 0),
        "context_behavior": scan.behavior[contexts],
        "context_pupil_center": scan.pupil_center[contexts],
    }
    for name in ("behavior", "pupil_center"):
        values = getattr(scan, name)[trials].astype(np.float64)
        statistics |= {f"{name}_mean": values.mean(0), f"{name}_std": deviation_or_one(values, 0)}
    for name, value in statistics.items():
        getattr(model, name).copy_(torch.as_tensor(value))
    # Start from every neuron's mean response: elu1 inverted.
    mean = np.maximum(responses.mean(0) / statistics["response_std"], 1e-3)
    centres = locate_receptive_fields(images, image, responses)
    height, width = images.shape[1:]
    with torch.no_grad():
        model.readout.bias.copy_(torch.as_tensor(np.where(mean > 1, mean - 1, np.log(mean))))
        # The map's point m is centred on pixel 2 m; -1 and 1 are half a point, a pixel, further out.
        model.readout.position.copy_(torch.as_tensor((centres + 1) / [width, height] * 2 - 1))
    return model


def poisson_loss(rate: Tensor, response: Tensor) -> Tensor:
    """Return the mean over trials and neurons of ``rate - response log(rate)``, for any number of either."""
    return (rate - response * (rate + 1e-8).log()).mean()


def penalty(model: ResponseModel, settings: FitSettings) -> Tensor:
    """Return the weighted sum of all penalties; each is a mean over kernels or neurons."""
    return (
        settings.laplace * model.core.roughness()
        + settings.core_l2 * model.core.energy()
        + settings.readout_l1 * model.readout.sparsity()
        + settings.gain_l2 * model.modulator.energy()
    )


def train_epoch(
    model: ResponseModel,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    data: Mapping[str, Tensor],
    settings: FitSettings,
    generator: Generator,
) -> float:
    """Take one step for every batch of a random order of trials; return the mean Poisson loss.

    `data` holds, a row a trial, image (index into `images`), behavior, pupil_center and responses.

    Raises
    ------
    InputError
        If the loss is not finite.
    """
    model.train()
    device = model.response_std.device
    trials, losses = len(data["image"]), []
    batches = math.ceil(trials / settings.batch_size)
    # Drawn and sent at once, and losses read at the end: a GPU need not be waited for at each step.
    order = torch.randperm(trials, generator=generator)
    shape = model.readout.position.shape
    noises = torch.stack([torch.randn(shape, generator=generator) for _ in range(batches)])
    # A last batch of a trial or two would upset the batch norm: spread the trials evenly.
    for rows, noise in zip(send(order, device).tensor_split(batches), send(noises, device), strict=True):  # type: ignore[arg-type]
        batch = {name: values[rows] for name, values in data.items()}
        features = model.map(images[batch["image"]])
        rates = model(features, batch["behavior"], batch["pupil_center"], noise)
        loss = poisson_loss(rates, batch["responses"])
        optimizer.zero_grad()
        (loss + penalty(model, settings)).backward()
        optimizer.step()
        losses.append(loss.detach())
    losses = torch.stack(losses).tolist()
    for loss in losses:
        if not math.isfinite(loss):
            raise InputError(
                f"response model: the loss is {loss} at learning_rate {settings.learning_rate};"
                " expected a finite one (lower the learning rate, or look for outlying responses)."
            )
    return float(np.mean(losses))


def plateaus(scores: Sequence[float], patience: int) -> int:
    """Return how often `patience` epochs in a row, counted anew after each time, brought no better score."""
    best, waited, count = -math.inf, 0, 0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == patience:
            waited, count = 0, count + 1
    return count


class _Fit:
    """Model, optimiser and training trials of one fit."""

    def __init__(
        self, model: ResponseModel, scan: Scan, trials: np.ndarray, settings: FitSettings, device: str
    ):
        self.settings = settings
        self.model = model.to(device)
        used, image = np.unique(scan.image[trials], return_inverse=True)
        self.images = torch.tensor(scan.images[used], device=device)
        self.data = {
            "image": torch.tensor(image, device=device),
            "behavior": torch.tensor(scan.behavior[trials], device=device),
            "pupil_center": torch.tensor(scan.pupil_center[trials], device=device),
            "responses": torch.tensor(scan.responses[trials], device=device).clamp_min(0)  # type: ignore[operator]
            / model.response_std,
        }
        self.use_learning_rate(settings.learning_rate)

    def use_learning_rate(self, rate: float) -> None:
        """Start Adam anew."""
        self.optimizer = torch.optim.Adam(self.model.parameters(), rate, fused=True)

    def epoch(self, generator: Generator) -> float:
        """Take every training trial once; return the mean Poisson loss."""
        return train_epoch(self.model, self.optimizer, self.images, self.data, self.settings, generator)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return what a resumed fit needs."""
        moments = {
            f"{index}.{name}": tensor
            for index, values in self.optimizer.state_dict()["state"].items()
            for name, tensor in values.items()
        }
        return {"model": copied(self.model.state_dict()), "optimizer": copied(moments)}

    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]], rate: float) -> None:
        """Go back to what `state` returned."""
        self.model.load_state_dict(tensors["model"])
        self.use_learning_rate(rate)
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.get("optimizer", {}).items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


@full_float32()
def fit_response_model(
    scan: Scan,
    settings: FitSettings | None = None,
    *,
    seed: int,
    device: str = "cpu",
    resume: ResumeFile | None = None,
    log: Callable[[str], None] = logger.info,
) -> FittedResponseModel:
    """Fit the predictive model to the training trials of a scan.

    Poisson loss and Adam; when the mean validation correlation has not risen for `patience` epochs,
    training goes back to the best state with a learning rate 0.3 times as high, and stops after the last
    reduction. On a CPU the same seed and number of threads give the same bytes, whether the fit was killed
    and resumed or not.

    Parameters
    ----------
    scan
        The scan.
    settings
        The defaults if none are given.
    seed
        Decides initial weights, order of trials, blur of positions and choice of contexts.
    device
        Where to compute; the result is on the CPU.
    resume
        Where to keep the state after each epoch, and to go on from if it belongs to this very fit.
    log
        Gets one line an epoch.

    Returns
    -------
    FittedResponseModel

    Raises
    ------
    InputError
        If the scan has too few usable training or validation trials, or loss or predictions diverge.
    """
    settings = settings or FitSettings()
    train, validation = usable_trials(scan)
    negative = int((scan.responses[train] < 0).sum())
    if negative:
        log(f"{negative} negative training responses count as 0: a Poisson rate has none")
    resume = resume or ResumeFile()
    # A GPU rounds otherwise: of either kind of device alone, bytes can be told to be the same.
    progress = resume.load([settings.model_dump(), seed, torch.device(device).type], vars(scan).values())
    if progress.history:
        log(f"going on after epoch {len(progress.history)}")
        model = empty_model(scan.responses.shape[1], scan.behavior.shape[1], settings)
        model.load_state_dict(progress.tensors["model"])
    else:
        model = build_model(scan, train, settings, seed)
    fit = _Fit(model, scan, train, settings, device)
    history, observed = progress.history, scan.responses[validation]
    reductions = plateaus(_scores(history), settings.patience)
    rate = settings.learning_rate * REDUCTION**reductions
    if history:
        fit.restore(progress.tensors, rate)
    while len(history) < settings.max_epochs and reductions <= settings.reductions:
        started, epoch = time.monotonic(), len(history) + 1
        # One stream per epoch: a resumed fit draws what an uninterrupted one would.
        loss = fit.epoch(Generator().manual_seed(derive_seed(seed, "epoch", epoch)))
        predicted = predict_trials(fit.model, scan, validation)
        # A correlation would not tell: of what is not finite it is 0.
        if not np.isfinite(predicted).all():
            raise InputError(
                f"response model: not all predictions are finite at learning_rate {settings.learning_rate};"
                " expected finite ones (lower the learning rate, or look for outlying responses)."
            )
        score = float(single_trial_correlation(predicted, observed).mean())
        history.append(
            {"epoch": epoch, "learning_rate": rate, "train_loss": loss, "validation_correlation": score}
        )
        log(
            f"epoch {epoch}: learning rate {rate:.2g}, loss {loss:.4f}, validation correlation {score:.4f}, "
            f"at most {(time.monotonic() - started) * (settings.max_epochs - epoch):.0f} s left"
        )
        if progress.best < 0 or score > history[progress.best]["validation_correlation"]:
            progress.best = epoch - 1
            progress.tensors["best_model"] = copied(fit.model.state_dict())
        if plateaus(_scores(history), settings.patience) > reductions:
            reductions += 1
            rate = settings.learning_rate * REDUCTION**reductions
            fit.restore({"model": progress.tensors["best_model"]}, rate)
        progress.tensors |= fit.state()
        resume.save(progress)
    fit.model.load_state_dict(progress.tensors["best_model"])
    best = history[progress.best]["validation_correlation"]
    return FittedResponseModel(fit.model.cpu().eval(), settings, history, best)


def _scores(history: Sequence[Mapping[str, float]]) -> list[float]:
    return [row["validation_correlation"] for row in history]
