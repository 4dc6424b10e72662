"""How a trained model is asked: eval mode, plain float32, frozen parameters, finite logits."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from neuroreg.errors import InputError


@contextmanager
def evaluation(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put `model` on `device`; for a while, eval mode, frozen parameters, no TF32, no autocast."""
    model.to(device)
    modes = [(module, module.training) for module in model.modules()]
    frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    matmul_tf32 = matmul.allow_tf32
    model.eval().requires_grad_(False)
    matmul.allow_tf32 = False
    try:
        with (
            cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False),
            torch.autocast(device.type, enabled=False),
        ):
            yield
    finally:
        matmul.allow_tf32 = matmul_tf32
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in frozen:
            parameter.requires_grad_(requires_grad)


def to_input(images: np.ndarray) -> Tensor:
    """Return uint8 images (N, H, W) as float32 network inputs (N, 1, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(torch.float32).div(255.0).unsqueeze(1)


def predict(model: nn.Module, inputs: Tensor, *, batch_size: int, device: torch.device) -> Tensor:
    """Return float32 logits (N, classes) on the CPU, under `evaluation`.

    Parameters
    ----------
    model
        A classifier of inputs (B, 1, H, W).
    inputs
        float32 (N, 1, H, W) in [0, 1], finite.
    batch_size
        Samples in one forward pass.
    device
        Where to compute.

    Raises
    ------
    InputError
        If a logit is not finite.
    """
    with evaluation(model, device), torch.no_grad():
        logits = torch.cat([model(part.to(device)).cpu() for part in inputs.split(batch_size)])
    require_finite(logits)
    return logits


def require_finite(logits: Tensor) -> None:
    """Raise InputError if any of the logits (N, classes) is NaN or infinite."""
    if not torch.isfinite(logits).all():
        bad = int((~torch.isfinite(logits)).any(dim=1).sum())
        raise InputError(
            f"model: logits are NaN or infinite for {bad} of {len(logits)} images; expected finite logits."
        )
