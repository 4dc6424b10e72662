"""Where torch computes, and how exactly."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from neuroreg.errors import InputError


def choose_device(name: str) -> torch.device:
    """Return the device named by the config, ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        If ``"cuda"`` is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("config key 'device': found 'cuda', but torch sees no CUDA device; expected 'cpu'.")
    return torch.device(name)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on `device`, without waiting for a GPU's earlier work.

    Only from pinned memory does a copy go on by itself; torch keeps that memory until it has arrived.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep float32 what it says on a GPU: TF32, cuDNN's default, has 10 bits of mantissa for 23."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
