"""How a trained model is asked: eval mode, plain float32, frozen parameters, finite logits.

`predict` and `evaluation` ask the model as it is; `quick` makes it faster, `FixedBatch` exact to the bit,
`Watched` tells whether it ever answered with NaN.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neuroreg.devices import full_float32
from neuroreg.errors import InputError
from neuroreg.training.architectures import Network
from neuroreg.training.networks import BasicBlock, ResNet


def to_input(images: np.ndarray) -> Tensor:
    """Return uint8 images (N, H, W) as float32 network inputs (N, 1, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(torch.float32).div(255.0).unsqueeze(1)


@contextmanager
def evaluation(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put `model` on `device`; for a while, eval mode, frozen parameters, no TF32, no autocast."""
    model.to(device)
    modes = [(module, module.training) for module in model.modules()]
    frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    cudnn = torch.backends.cudnn
    model.eval().requires_grad_(False)
    try:
        with (
            full_float32(),
            cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False),
            torch.autocast(device.type, enabled=False),
        ):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in frozen:
            parameter.requires_grad_(requires_grad)


def predict(
    model: nn.Module, inputs: Tensor, *, batch_size: int, device: torch.device, finite: bool = True
) -> Tensor:
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
    finite
        Whether all logits have to be finite.

    Raises
    ------
    InputError
        If a logit is not finite though it has to be.
    """
    with evaluation(model, device), torch.no_grad():
        logits = torch.cat([model(part.to(device)).cpu() for part in inputs.split(batch_size)])
    if finite:
        require_finite(logits)
    return logits


def label_lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the label's logit of (rows, classes) less the largest other one, (rows,).

    Below 0 where the row is misclassified; differentiable.
    """
    own = labels[:, None]
    return logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).amax(dim=1)


def require_finite(logits: Tensor) -> None:
    """Raise InputError if any of the logits (N, classes) is NaN or infinite."""
    if not torch.isfinite(logits).all():
        bad = int((~torch.isfinite(logits)).any(dim=1).sum())
        raise InputError(
            f"model: logits are NaN or infinite for {bad} of {len(logits)} images; expected finite logits."
        )


_PAIRS = {BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")), ResNet: (("conv1", "bn1"),)}


def folded(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in eval mode in which batch norm is part of the convolution before it.

    Logits change by rounding. Pairs are looked for where each batch norm is known to follow its convolution:
    in this library's networks and in sequences of modules. Everything else is left as it is.
    """
    model = copy.deepcopy(model).eval()
    uses = [id(module) for _, module in model.named_modules(remove_duplicate=False)]
    for parent, first, second in _pairs(model):
        conv, norm = getattr(parent, first), getattr(parent, second)
        alone = uses.count(id(conv)) == uses.count(id(norm)) == 1
        plain = type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and not conv._forward_pre_hooks
        if alone and plain and norm.track_running_stats:
            setattr(parent, first, fuse_conv_bn_eval(conv, norm))
            setattr(parent, second, nn.Identity())
    return model


def quick(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of `model` for many passes: `folded`, and on a CPU channels last, as is faster there.

    Only networks that are trained here, with channels last, have them so: `view` in another's may not do.
    """
    copied = folded(model)
    if device.type == "cpu" and isinstance(model, Network):
        return copied.to(memory_format=torch.channels_last)
    return copied


def _pairs(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Yield modules with the names of two children, the second of which is applied right after the first."""
    if type(module) is nn.Sequential:
        # By name, since a child may stand in several places.
        yield from ((module, first, second) for first, second in pairwise(module._modules))
    elif type(module) in _PAIRS:
        yield from ((module, first, second) for first, second in _PAIRS[type(module)])
    elif type(module) is not nn.ModuleList:
        return
    for child in module.children():
        yield from _pairs(child)


class FixedBatch(nn.Module):
    """Passes inputs on to `model`, `rows` at a time, the last ones filled up with black images.

    Sums within a convolution come in an order that depends on the batch's shape, not on what else is in it:
    under one shape, on the CPU, a row's logits and gradients are the same to the bit wherever it is. So it is
    for the networks that are trained here; wide fully connected layers may depend on the row's place.

    Parameters
    ----------
    model
        Of inputs (B, 1, H, W), in eval mode when called.
    rows
        The shape's B.
    """

    def __init__(self, model: nn.Module, rows: int) -> None:
        super().__init__()
        self.model, self.rows = model, rows

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's outputs, (B, ...), for any B."""
        return torch.cat([self._few(part) for part in x.split(self.rows)])

    def _few(self, x: Tensor) -> Tensor:
        missing = self.rows - len(x)
        return self.model(F.pad(x, (0, 0, 0, 0, 0, 0, 0, missing)))[: len(x)]


class Watched(nn.Module):
    """Passes inputs on to `model` and remembers, on the device, whether any logit was NaN or infinite.

    An image's logits are all 0 then, without a gradient, so that an attack goes on until the end, where `met`
    tells. Nothing waits for the device meanwhile.

    Parameters
    ----------
    model
        Of inputs (B, 1, H, W), in eval mode when called.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self._met = model, []
        self.training = model.training  # not `train`, which would set the model's parts, too

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits (B, classes), 0 where one of an image's is not finite."""
        logits = self.model(x)
        finite = torch.isfinite(logits.detach()).all(dim=1, keepdim=True)
        met = ~finite.all()
        self._met = [met | self._met[0] if self._met else met]
        return torch.where(finite, logits, 0.0)

    def met(self) -> bool:
        """Return whether a logit was not finite so far."""
        return any(map(bool, self._met))
