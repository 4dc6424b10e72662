"""Where torch computes, and how exactly."""

import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from neuroreg.errors import InputError

logger = logging.getLogger(__name__)


def choose_device(name: str, devices: str | int = "0") -> torch.device:
    """Return the device named by the config, ``"cpu"`` or ``"cuda"``.

    Parameters
    ----------
    name
        ``"cpu"`` or ``"cuda"``.
    devices
        Numbers of the GPUs that may be used, as in ``"0,1"``, or the only one. Of several the process takes
        the one that the fewest others of this user's hold on this machine, and holds it until it ends.

    Raises
    ------
    InputError
        If ``"cuda"`` is asked for and there is none, or not one of these numbers.
    """
    if name != "cuda":
        return torch.device(name)
    if not torch.cuda.is_available():
        raise InputError("config key 'device': found 'cuda', but torch sees no CUDA device; expected 'cpu'.")
    numbers, there = [int(number) for number in str(devices).split(",")], torch.cuda.device_count()
    for number in numbers:
        if number >= there:
            raise InputError(
                f"config key 'devices': found {number}, but torch sees {there} CUDA "
                f"device{'s' * (there > 1)}; expected numbers from 0 to {there - 1}."
            )
    device = torch.device("cuda", numbers[0] if len(numbers) == 1 else _least_held(numbers))
    torch.cuda.set_device(device)
    return device


_held = {}  # by GPU, open files, whose locks end with the process, however it ends


def _least_held(numbers: list[int]) -> int:
    if held := [number for number in _held if number in numbers]:
        return held[0]
    folder = Path(tempfile.gettempdir()) / f"neuroreg-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    places = ((place, number) for place in count() for number in numbers)
    return next(number for place, number in places if _hold(number, folder / f"{number}.{place}"))


def _hold(number: int, path: Path) -> bool:
    """Lock a GPU's file unless another process does; return whether that worked."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _held[number] = file
    return True


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on `device`, without waiting for a GPU's earlier work.

    Only from pinned memory does a copy go on by itself; torch keeps that memory until it has arrived.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Recorded:
    """Runs functions of tensors; on a GPU each as one CUDA graph, which the first call records.

    A graph costs the host one launch, whatever kernels it is made of. It holds its memory as long as this
    lives. Where a GPU refuses to record, that is logged, and kernels are launched one by one.
    """

    def __init__(self) -> None:
        self._graphs: dict[tuple, _Graph | None] = {}

    def __call__(self, function: Callable[..., tuple[Tensor, ...]], *arguments: object) -> tuple[Tensor, ...]:
        """Return what the function does; on a GPU the next call of it writes over that.

        Parameters
        ----------
        function
            It asks the GPU nothing: which kernels it takes, and in which memory, depends on the tensors'
            shapes and types alone, and on the other arguments.
        arguments
            Tensors of one device, and others, which can be keys.
        """
        tensors = [value for value in arguments if isinstance(value, Tensor)]
        if tensors[0].device.type != "cuda":
            return function(*arguments)
        key = (function, *map(_kind, arguments))
        if key not in self._graphs:
            self._graphs[key] = _record(function, arguments)
        recorded = self._graphs[key]
        if recorded is None:
            return function(*arguments)
        graph, given, results = recorded
        for here, value in zip(given, tensors, strict=True):
            here.copy_(value)
        graph.replay()
        return results


def _kind(value: object) -> object:
    return (value.shape, value.dtype, value.device) if isinstance(value, Tensor) else value


# With what it reads from and writes to.
_Graph = tuple[torch.cuda.CUDAGraph, list[Tensor], tuple[Tensor, ...]]


def _record(function: Callable[..., tuple[Tensor, ...]], arguments: tuple) -> _Graph | None:
    own = [value.clone() if isinstance(value, Tensor) else value for value in arguments]
    function(*own)  # what libraries set up at their first call cannot be recorded
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph):
            results = function(*own)
    except RuntimeError as error:
        torch.cuda.set_stream(stream)  # an attempt that has failed stays in its own
        logger.warning("the GPU does not record a CUDA graph, launches take longer: %s", error)
        return None
    return graph, [value for value in own if isinstance(value, Tensor)], results


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
