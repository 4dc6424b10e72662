"""A real GPU behind the interface of the make-believe one: what happened is read from torch's profiler."""

import contextlib

import pytest
import torch
from make_believe_gpu import Counts
from torch.profiler import ProfilerActivity, profile

# A graph counts as one launch, as it does for the host.
LAUNCHES = {
    "cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch",
    "cudaMemcpyAsync", "cudaMemsetAsync",
}  # fmt: skip
WAITS = {"cudaStreamSynchronize", "cudaEventSynchronize", "cuStreamSynchronize", "cuEventSynchronize"}


class RealGpu(contextlib.ExitStack):
    """While entered, kernels and waits are counted; the test is skipped where there are fewer GPUs.

    Attributes
    ----------
    exact
        Whether it computes as the CPU does, bit by bit.
    kernels
        At most how many kernels one launch of the make-believe GPU stands for.
    """

    exact = False
    kernels = 2

    def __init__(self, devices: int = 1) -> None:
        super().__init__()
        if torch.cuda.device_count() < devices:
            pytest.skip(f"needs {devices} CUDA device{'s' * (devices > 1)}")
        self._profile, self._last = None, Counts()

    def __enter__(self) -> "RealGpu":
        super().__enter__()
        self.callback(self._stop)
        self._start()
        return self

    def take(self) -> Counts:
        """Return the counts so far and begin anew."""
        self._stop()
        self._start()
        return self._last

    @property
    def counts(self) -> Counts:
        """What happened since `take` was last called, up to now or to the end."""
        if self._profile is not None:
            self._stop()
            self._start()
        return self._last

    def _start(self) -> None:
        torch.cuda.synchronize()
        self._profile = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
        self._profile.start()

    def _stop(self) -> None:
        if self._profile is None:
            return
        torch.cuda.synchronize()
        self._profile.stop()
        counts = Counts()
        for event in self._profile.profiler.kineto_results.events():
            name = event.name()
            if event.device_type() == torch.autograd.DeviceType.CUDA:
                if "tf32" in name.lower():  # as kernels of cuBLAS and cuDNN that round to it say
                    counts.tf32[name] += 1
            elif name in LAUNCHES:
                counts.launches[name] += 1
            elif name in WAITS:
                counts.waits["host", name] += 1
        self._profile, self._last = None, counts
