"""Batch norm folded into convolutions: faster, for searching only."""

import copy
from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neuroreg.networks import BasicBlock, ResNet

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
