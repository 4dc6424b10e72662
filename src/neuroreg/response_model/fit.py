"""Fit the predictive model to a scan."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from neuroreg.errors import InputError
from neuroreg.response_model.localisation import locate_receptive_fields
from neuroreg.response_model.model import ResponseModel
from neuroreg.response_model.predict import predict_trials
from neuroreg.response_model.reliability import single_trial_correlation
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)

REDUCTION = 0.3  # factor on the learning rate
ARCHITECTURE = (
    "channels",
    "input_kernel",
    "hidden_kernel",
    "spread",
    "shifter_hidden",
    "largest_shift",
    "modulator_hidden",
)


@dataclass(frozen=True)
class FitSettings:
    """Settings of the predictive model and its fit; each is a key of the configuration.

    Attributes
    ----------
    channels
        Channels of each of the core's three layers.
    input_kernel, hidden_kernel
        Kernel sizes of the first and the other layers, odd.
    spread
        Initial blur of the readout positions (2 = the image's width or height).
    shifter_hidden, largest_shift
        Hidden units of the shifter; bound of its shift (2 = the image's width or height).
    modulator_hidden
        Hidden units of the modulator.
    contexts
        Training states (behaviour, pupil) that pool predictions are averaged over.
    batch_size
        Trials a step.
    learning_rate
        Adam's, at the start.
    reductions
        How often the learning rate is multiplied by 0.3; each time training goes on from the best state.
    patience
        Epochs without a better validation correlation before a reduction, or the end.
    max_epochs
        Upper bound of epochs.
    laplace, core_l2, readout_l1, gain_l2
        Factors of the penalties: roughness of the first kernels, size of the others, feature weights, gains.
    """

    channels: int = 16
    input_kernel: int = 9
    hidden_kernel: int = 5
    spread: float = 0.1
    shifter_hidden: int = 5
    largest_shift: float = 0.5
    modulator_hidden: int = 8
    contexts: int = 32
    batch_size: int = 32
    learning_rate: float = 0.005
    reductions: int = 3
    patience: int = 5
    max_epochs: int = 200
    laplace: float = 0.01
    core_l2: float = 0.01
    readout_l1: float = 0.01
    gain_l2: float = 0.01

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            may_be_zero = name in ("reductions", "laplace", "core_l2", "readout_l1", "gain_l2")
            if not (value > 0 or (may_be_zero and value == 0)):
                expected = "at least 0" if may_be_zero else "above 0"
                raise InputError(f"response model: {name} is {value}; expected a number {expected}.")
            if name.endswith("kernel") and value % 2 == 0:
                raise InputError(f"response model: {name} is {value}; expected an odd size.")


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


def usable_trials(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of training and of validation trials.

    Raises
    ------
    InputError
        If there are fewer than two of either, or they are withheld.
    """
    train, validation = scan.trials_of("train"), scan.trials_of("validation")
    for tier, trials in (("train", train), ("validation", validation)):
        if len(trials) < 2:
            raise InputError(f"scan: {len(trials)} trials of tier '{tier}'; expected at least 2.")
    return train, validation


def empty_model(
    neurons: int, behaviors: int, settings: FitSettings, generator: Generator | None = None
) -> ResponseModel:
    """Return a model of the given sizes that knows nothing of any scan."""
    architecture = {name: getattr(settings, name) for name in ARCHITECTURE}
    return ResponseModel(neurons, behaviors, settings.contexts, **architecture, generator=generator)


def build_model(scan: Scan, trials: np.ndarray, settings: FitSettings, seed: int) -> ResponseModel:
    """Return an unfitted model whose statistics, contexts, positions and biases come from training trials."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "initial weights"))
    behaviors, neurons = scan.behavior.shape[1], scan.responses.shape[1]
    model = empty_model(neurons, behaviors, settings, generator)

    def positive(std: np.ndarray) -> np.ndarray:
        return np.where(std > 1e-6, std, 1)

    used, image = np.unique(scan.image[trials], return_inverse=True)
    images = scan.images[used]
    height, width = images.shape[1:]
    responses = scan.responses[trials].astype(np.float64)
    scale = positive(responses.std(0))
    contexts = np.random.default_rng(derive_seed(seed, "contexts")).choice(
        trials, settings.contexts, replace=len(trials) < settings.contexts
    )
    statistics = {
        "image_mean": images.mean(),
        "image_std": positive(images.std()),
        "response_std": scale,
        "context_behavior": scan.behavior[contexts],
        "context_pupil_center": scan.pupil_center[contexts],
    }
    for name in ("behavior", "pupil_center"):
        values = getattr(scan, name)[trials].astype(np.float64)
        statistics |= {f"{name}_mean": values.mean(0), f"{name}_std": positive(values.std(0))}
    for name, value in statistics.items():
        getattr(model, name).copy_(torch.as_tensor(value))
    centres = locate_receptive_fields(images, image, responses)
    # Start from every neuron's mean response: elu1 inverted.
    mean = np.maximum(responses.mean(0) / scale, 1e-3)
    with torch.no_grad():
        model.readout.bias.copy_(torch.as_tensor(np.where(mean > 1, mean - 1, np.log(mean))))
        model.readout.position.copy_(torch.as_tensor((centres + 0.5) / [width, height] * 2 - 1))
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
    # A last batch of a trial or two would upset the batch norm: spread the trials evenly.
    for rows in torch.randperm(trials, generator=generator).tensor_split(batches):
        noise = torch.randn(model.readout.position.shape, generator=generator).to(device)
        rows = rows.to(device)
        batch = {name: values[rows] for name, values in data.items()}
        features = model.map(images[batch["image"]])
        rates = model(features, batch["behavior"], batch["pupil_center"], noise)
        loss = poisson_loss(rates, batch["responses"])
        if not torch.isfinite(loss):
            raise InputError(
                f"response model: the loss is {loss.item()} at learning_rate {settings.learning_rate};"
                " expected a finite one (lower the learning rate, or look for outlying responses)."
            )
        optimizer.zero_grad()
        (loss + penalty(model, settings)).backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def fit_response_model(
    scan: Scan,
    settings: FitSettings | None = None,
    *,
    seed: int,
    device: str = "cpu",
    log: Callable[[str], None] = logger.info,
) -> FittedResponseModel:
    """Fit the predictive model to the training trials of a scan.

    Poisson loss and Adam; when the mean validation correlation has not risen for `patience` epochs,
    training goes back to the best state with a learning rate 0.3 times as high, and stops after the last
    reduction. On a CPU the same seed and number of threads give the same bytes.

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
    log
        Gets one line an epoch.

    Returns
    -------
    FittedResponseModel

    Raises
    ------
    InputError
        If the scan has too few usable training or validation trials, or the loss diverges.
    """
    settings = settings or FitSettings()
    train, validation = usable_trials(scan)
    negative = int((scan.responses[train] < 0).sum())
    if negative:
        log(f"{negative} negative training responses count as 0: a Poisson rate has none")
    model = build_model(scan, train, settings, seed).to(device)
    observed = scan.responses[validation]
    used, image = np.unique(scan.image[train], return_inverse=True)
    images = torch.tensor(scan.images[used], device=device)
    data = {
        "image": torch.tensor(image, device=device),
        "behavior": torch.tensor(scan.behavior[train], device=device),
        "pupil_center": torch.tensor(scan.pupil_center[train], device=device),
        "responses": torch.tensor(scan.responses[train], device=device).clamp_min(0) / model.response_std,
    }
    generator = torch.Generator().manual_seed(derive_seed(seed, "training"))
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate)

    def snapshot() -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    best, best_state, waited, reductions, history = -math.inf, snapshot(), 0, 0, []
    for epoch in range(1, settings.max_epochs + 1):
        loss = train_epoch(model, optimizer, images, data, settings, generator)
        score = float(single_trial_correlation(predict_trials(model, scan, validation), observed).mean())
        rate = optimizer.param_groups[0]["lr"]
        history.append(
            {"epoch": epoch, "learning_rate": rate, "train_loss": loss, "validation_correlation": score}
        )
        log(f"epoch {epoch}: learning rate {rate:.2g}, loss {loss:.4f}, validation correlation {score:.4f}")
        if score > best:
            best, best_state, waited = score, snapshot(), 0
            continue
        waited += 1
        if waited == settings.patience:
            if reductions == settings.reductions:
                break
            reductions, waited = reductions + 1, 0
            model.load_state_dict(best_state)
            optimizer = torch.optim.Adam(model.parameters(), rate * REDUCTION)
    model.load_state_dict(best_state)
    return FittedResponseModel(model.cpu().eval(), settings, history, best)
