"""A make-believe GPU: CUDA's rules over the CPU's arithmetic, with kernel launches and host waits counted.

    with MakeBelieveGpu() as gpu:
        train(..., device="cuda")
    assert not gpu.counts.waits, gpu.counts

To C++ all tensors are ordinary CPU tensors, so that autograd, optimisers and `Module.to` work as they are.
What makes one "be on the GPU" is a note on its storage, which views share. Two of torch's own hooks do the
rest: one sees Python's calls, answers questions about devices and moves tensors; one (`make_believe_kernels`)
sees each operator that would be a kernel, raises where CUDA would, notes where results live, and counts.

What it cannot see: memory, streams, what torch.compile makes of a function, and devices named inside
functions that torch itself writes in Python. Launches are estimates: of operators that CUDA does in several
kernels, the usual number.
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import torch
from make_believe_kernels import CPU, DEVICE, PINNED, Graph, Kernels, place, put, tensors_in
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

import neuroreg

PROJECT = str(Path(neuroreg.__file__).parent)
TORCH = str(Path(torch.__file__).parent)


@dataclass
class Counts:
    """What a GPU would have done.

    Attributes
    ----------
    launches
        Kernels and copies by operator.
    lines
        The same by line of the project.
    waits
        Stops of the host by (line, reason).
    tf32
        Float32 convolutions and products whose mantissa CUDA would cut to 10 bits, by line.
    """

    launches: Counter = field(default_factory=Counter)
    lines: Counter = field(default_factory=Counter)
    waits: Counter = field(default_factory=Counter)
    tf32: Counter = field(default_factory=Counter)

    def __str__(self) -> str:
        rows = [f"{self.launches.total()} launches, {self.waits.total()} waits, {self.tf32.total()} in TF32"]
        rows += [f"{count:6} x {reason} at {line}" for (line, reason), count in self.waits.most_common()]
        rows += [f"{count:6} x TF32 at {line}" for line, count in self.tf32.most_common()]
        return "\n".join(rows)


class MakeBelieveGpu(contextlib.ExitStack):
    """While entered, torch believes in one or more GPUs.

    Parameters
    ----------
    devices
        How many.
    free
        Bytes of memory that are free, half of all; may be set later.

    Attributes
    ----------
    counts
        What happened since `take` was last called.
    exact
        It computes as the CPU does, bit by bit; a real one rounds otherwise.
    kernels
        How many kernels one launch stands for.
    """

    exact = True
    kernels = 1

    def __init__(self, devices: int = 1, free: int = 2**30) -> None:
        super().__init__()
        self.devices, self.current, self.counts, self.free = devices, 0, Counts(), free
        self.factories: torch.device | None = None  # where C++ makes tensors on its way
        self.filling = False
        self.recording: Graph | None = None  # of kernels that are not to run yet

    def take(self) -> Counts:
        """Return the counts so far and begin anew."""
        taken, self.counts = self.counts, Counts()
        return taken

    def __enter__(self) -> "MakeBelieveGpu":
        super().__enter__()
        cuda = {
            "is_available": lambda: True,
            "device_count": lambda: self.devices,
            "current_device": lambda: self.current,
            "set_device": self._set_device,
            "synchronize": lambda device=None: self.wait("synchronize"),
            "is_current_stream_capturing": lambda: False,
            "is_bf16_supported": lambda *_, **__: True,
            "get_device_capability": lambda device=None: (9, 0),
            "manual_seed_all": lambda seed: None,
            "empty_cache": lambda: None,
            "mem_get_info": lambda device=None: (self.free, 2 * self.free),
            "_lazy_init": lambda: None,
            "CUDAGraph": lambda: Graph(self),
            "graph": self._record,
            "current_stream": lambda device=None: None,
            "set_stream": lambda stream: None,
        }
        patches = [
            (torch.cuda, cuda),
            (torch.amp, {"autocast": _autocast()}),
            (torch, {"autocast": _autocast()}),
        ]
        for owner, values in patches:
            for name, value in values.items():
                self.enter_context(mock.patch.object(owner, name, value))
        self.enter_context(Kernels(self))
        self.enter_context(_Calls(self))
        return self

    def _set_device(self, device: int | str | torch.device) -> None:
        self.current = self.resolve(device).index

    @contextlib.contextmanager
    def _record(self, graph: Graph) -> Iterator[None]:
        self.wait("synchronize")
        self.recording = graph
        try:
            yield
        finally:
            self.recording = None

    def resolve(self, device: int | str | torch.device) -> torch.device:
        """Return a device with its index, or raise as CUDA does for one that is not there."""
        device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
        if device.type != "cuda":
            return device
        index = self.current if device.index is None else device.index
        if index >= self.devices:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return torch.device("cuda", index)

    def line(self) -> str:
        """Return the innermost line of the project under way; of none, the innermost one outside torch."""
        frame, outside = sys._getframe(1), "?"
        while frame:
            name = frame.f_code.co_filename
            if name.startswith(PROJECT):
                return f"{name[len(PROJECT) + 1 :]}:{frame.f_lineno}"
            if outside == "?" and name != __file__ and not name.startswith((TORCH, "<")):
                outside = f"{Path(name).name}:{frame.f_lineno}"
            frame = frame.f_back
        return outside

    def wait(self, reason: str, times: int = 1) -> None:
        """Count stops of the host."""
        if times and self.recording is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        if times:
            self.counts.waits[self.line(), reason] += times

    def launch(self, name: str, times: int = 1) -> None:
        """Count kernels."""
        if times and self.recording is None:
            self.counts.launches[name] += times
            self.counts.lines[self.line()] += times

    def copied(self, tensor: Tensor, device: torch.device, blocking: bool) -> Tensor:
        """Return a copy on another device."""
        pinned = getattr(tensor.untyped_storage(), PINNED, False)
        source = place(tensor).type
        if CPU in (place(tensor), device):
            # Of pageable memory the driver first makes a copy of its own, and the host waits for that.
            if blocking or (source == "cpu" and not pinned):
                self.wait(f"copy from {source} to {device.type}")
            elif device.type == "cpu":
                raise AssertionError(f"{self.line()}: read before it arrives (non-blocking copy to the CPU)")
        self.launch(f"copy from {source} to {device.type}")
        with torch._C.DisableTorchFunction(), _disable_current_modes():
            copy = tensor.detach().clone()
        return copy if device == CPU else put(copy, device)

    def moved(self, tensor: Tensor, device: torch.device, blocking: bool = True) -> Tensor:
        """Return a tensor on `device`, itself if it is there; gradients find their way back."""
        if place(tensor) == device:
            return tensor
        if torch.is_grad_enabled() and tensor.requires_grad:
            return _Copy.apply(tensor, self, device, blocking)
        return self.copied(tensor, device, blocking)


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor, gpu, device, blocking):
        context.gpu, context.device = gpu, place(tensor)
        return gpu.copied(tensor, device, blocking)

    @staticmethod
    def backward(context, gradient):
        return context.gpu.copied(gradient, context.device, True), None, None, None


def _autocast() -> type:
    """Return autocast that takes the CPU's list of operators for CUDA's."""
    original = torch.amp.autocast_mode.autocast

    class Autocast(original):
        def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
            if device_type == "cuda":
                device_type, dtype = "cpu", dtype or torch.float16
            super().__init__(device_type, dtype, enabled, cache_enabled)

    return Autocast


class _Calls(TorchFunctionMode):
    """What Python asks of torch."""

    def __init__(self, gpu: MakeBelieveGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func, types, args=(), kwargs=None):
        gpu, kwargs = self.gpu, dict(kwargs or {})
        if func in _ANSWERS:
            return _ANSWERS[func](gpu, func, *args, **kwargs)
        places = [place(tensor) for tensor in tensors_in((args, kwargs))]
        target = next((one for one in places if one != CPU), None)
        if isinstance(asked := kwargs.get("device"), int | str | torch.device):
            asked = gpu.resolve(asked)
            target = asked if asked.type == "cuda" else None
            kwargs["device"] = CPU if asked.type == "cuda" else asked
        if kwargs.get("generator") is not None and target is not None:
            # Generators of this make-believe are the CPU's.
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        before, gpu.factories = gpu.factories, target
        try:
            out = func(*args, **kwargs)
        finally:
            gpu.factories = before
        if func is Tensor.__deepcopy__ and target is not None:
            put(out, target)
        return out


def _to(gpu, func, tensor, *args, **kwargs):
    if args and isinstance(args[0], Tensor):
        kwargs["other"], args = args[0], args[1:]
    if isinstance(other := kwargs.pop("other", None), Tensor):
        kwargs |= {"device": place(other), "dtype": other.dtype}
    copy = kwargs.pop("copy", False) or (len(args) > 3 and args[3])
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args[:3], **kwargs)
    moved = tensor
    if device is not None:
        device = gpu.resolve(device)
        if device.type not in ("cpu", "cuda"):
            return func(tensor, device, dtype)
        moved = gpu.moved(tensor, device, not non_blocking)
    extra = {} if memory_format is None else {"memory_format": memory_format}
    return func(moved, dtype or tensor.dtype, copy=copy and moved is tensor, **extra)


def _made(gpu, func, data, *args, device=None, **kwargs):
    out = func(data, *args, **kwargs)
    where = place(data) if isinstance(data, Tensor) else CPU
    return gpu.moved(
        put(out, where) if where != CPU else out, where if device is None else gpu.resolve(device)
    )


def _made_alike(gpu, func, tensor, data, *args, device=None, **kwargs):
    where = place(tensor) if device is None else gpu.resolve(device)
    return gpu.moved(func(tensor, data, *args, **kwargs), where)


def _as_numpy(gpu, func, tensor, *args, **kwargs):
    if place(tensor) != CPU:
        raise TypeError(
            f"can't convert {place(tensor)} device type tensor to numpy. Use Tensor.cpu() to copy it first."
        )
    return func(tensor, *args, **kwargs)


def _read(gpu, func, tensor, *args, **kwargs):
    if place(tensor) != CPU:
        gpu.wait(func.__name__)
        tensor = gpu.copied(tensor, place(tensor), False)
        delattr(tensor.untyped_storage(), DEVICE)
    return func(tensor, *args, **kwargs)


def _fill(gpu, func, tensor, index, value):
    before = gpu.factories, gpu.filling
    gpu.factories, gpu.filling = (
        None if place(tensor) == CPU else place(tensor),
        not isinstance(value, Tensor),
    )
    try:
        return func(tensor, index, value)
    finally:
        gpu.factories, gpu.filling = before


def _pin(gpu, func, tensor, *args):
    if place(tensor) != CPU:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        copy = tensor.clone()
    setattr(copy.untyped_storage(), PINNED, True)
    return copy


_ANSWERS = {
    Tensor.device.__get__: lambda gpu, func, tensor, *_: (
        func(tensor) if place(tensor) == CPU else place(tensor)
    ),
    Tensor.is_cuda.__get__: lambda gpu, func, tensor, *_: place(tensor) != CPU,
    Tensor.is_cpu.__get__: lambda gpu, func, tensor, *_: place(tensor) == CPU and func(tensor),
    Tensor.get_device: lambda gpu, func, tensor: -1 if place(tensor) == CPU else place(tensor).index,
    Tensor.is_pinned: lambda gpu, func, tensor, *_: getattr(tensor.untyped_storage(), PINNED, False),
    Tensor.cpu: lambda gpu, func, tensor, *_, **__: gpu.moved(tensor, CPU),
    Tensor.cuda: lambda gpu, func, tensor, device="cuda", non_blocking=False, **_: gpu.moved(
        tensor, gpu.resolve(device), not non_blocking
    ),
    Tensor.to: _to,
    Tensor.numpy: _as_numpy,
    Tensor.__array__: _as_numpy,
    Tensor.tolist: _read,
    Tensor.__repr__: _read,
    Tensor.__setitem__: _fill,
    Tensor.pin_memory: _pin,
    Tensor.new_tensor: _made_alike,
    torch.tensor: _made,
    torch.as_tensor: _made,
    torch.asarray: _made,
}
