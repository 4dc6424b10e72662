"""An unfitted response model that knows the statistics of its scan."""

import numpy as np
import torch
from torch import Generator

from neuroreg.response_model.localisation import locate_receptive_fields
from neuroreg.response_model.model import ResponseModel
from neuroreg.response_model.settings import ARCHITECTURE, FitSettings
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed


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
