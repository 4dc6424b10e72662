"""The kernels of `make_believe_gpu`: what runs where, what CUDA refuses, what it launches and waits for."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

CPU = torch.device("cpu")
DEVICE, PINNED = "_make_believe_device", "_make_believe_pinned"

# Operators that launch no kernel, besides those that only look at memory in another way.
FREE = {
    "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "resize_",
    "set_", "_unsafe_view", "_reshape_alias", "_local_scalar_dense", "lift", "lift_fresh", "detach_",
    "is_same_size",
}  # fmt: skip
# Kernels of operators that need several.
KERNELS = {
    "native_batch_norm": 2, "_native_batch_norm_legit": 2, "native_batch_norm_backward": 2, "mse_loss": 2,
    "nll_loss_backward": 2, "avg_pool2d_backward": 2, "constant_pad_nd": 2, "select_backward": 2,
    "slice_backward": 2, "scatter": 2, "index_copy": 2, "masked_fill": 2, "fill_diagonal_": 2, "sort": 3,
    "argsort": 3, "topk": 3, "repeat_interleave": 3, "nonzero": 4, "bincount": 4, "masked_select": 6,
    "unique_dim": 10, "_unique2": 10,
}  # fmt: skip
# How often the host stops inside an operator, because it needs a number that only the GPU has.
WAITS = {
    "_local_scalar_dense": 1, "nonzero": 1, "equal": 1, "masked_select": 1, "_unique2": 1,
    "unique_consecutive": 1, "unique_dim": 2, "bincount": 2,
}  # fmt: skip
INDEXING = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"}
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}


def place(tensor: Tensor) -> torch.device:
    """Return where a tensor makes believe to be."""
    try:
        return getattr(tensor.untyped_storage(), DEVICE, CPU)
    except (RuntimeError, NotImplementedError):  # tensors without storage
        return CPU


def put(tensor: Tensor, device: torch.device) -> Tensor:
    """Note that a tensor, and all that share its memory, are on `device`."""
    setattr(tensor.untyped_storage(), DEVICE, device)
    return tensor


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


class Graph:
    """A CUDA graph: kernels that were recorded, in the memory that they had then."""

    def __init__(self, gpu) -> None:
        self.gpu, self.kernels = gpu, []

    def replay(self) -> None:
        """Run them again: one launch."""
        self.gpu.launch("graph")
        with torch._C.DisableTorchFunction(), _disable_current_modes():
            for func, args, kwargs, out in self.kernels:
                again = func(*args, **kwargs)
                for before, now in zip(tensors_in(out), tensors_in(again), strict=True):
                    if before.untyped_storage().data_ptr() != now.untyped_storage().data_ptr():
                        before.copy_(now)


class Kernels(TorchDispatchMode):
    """What reaches the GPU; `gpu` is the `MakeBelieveGpu` that keeps the counts."""

    def __init__(self, gpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        gpu, kwargs, name = self.gpu, kwargs or {}, func.overloadpacket.__name__
        places = [place(tensor) for tensor in tensors_in((args, kwargs))]
        target = next((one for one in places if one != CPU), None) if places else gpu.factories
        if target is None:
            return func(*args, **kwargs)
        # In inference mode some come whole that CUDA would see in parts.
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:
                return func.decompose(*args, **kwargs)
        if name == "copy_" and len(set(places)) > 1:
            return self._copy(func, *args, **kwargs)
        if len(set(places)) > 1:
            self._refuse_mixed(func, name, args, places)
        out = func(*args, **kwargs)
        for tensor in tensors_in(out):
            put(tensor, target)
        if gpu.recording is not None:
            gpu.recording.kernels.append((func, args, kwargs, out))
        self._count(func, name, args, kwargs)
        return out

    def _copy(self, func, target, source, non_blocking=False):
        gpu, places = self.gpu, (place(target), place(source))
        if gpu.filling and places[1] == CPU and source.dim() == 0 < target.dim():
            gpu.launch("fill_")
        else:
            pinned = getattr(source.untyped_storage(), PINNED, False)
            gpu.wait(
                f"copy from {places[1].type} to {places[0].type}",
                int(not (non_blocking and pinned) and CPU in places),
            )
            gpu.launch(f"copy from {places[1].type} to {places[0].type}")
        if gpu.recording is not None:
            gpu.recording.kernels.append((func, (target, source), {}, target))
        return func(target, source)

    def _refuse_mixed(self, func, name, args, places) -> None:
        """Raise as CUDA does where tensors of two devices meet; numbers of the CPU may join in arithmetic."""
        gpu, devices = self.gpu, sorted({str(one) for one in places}, reverse=True)
        mixed = RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{' and '.join(devices)}! ({name} at {gpu.line()})"
        )
        if name in INDEXING:
            own, indices = place(args[0]), [place(index) for index in args[1] if index is not None]
            if any(index not in (CPU, own) for index in indices):
                raise RuntimeError(
                    f"indices should be either on cpu or on the same device as the indexed tensor ({own})"
                )
            value = args[2] if len(args) > 2 else None
            if own == CPU or (value is not None and place(value) not in (own, CPU)):
                raise mixed
            gpu.wait("copy of an index", sum(index == CPU for index in indices))
            if value is not None and place(value) == CPU:
                if value.dim():
                    raise mixed
                gpu.wait("copy of a number", int(not _fills_a_mask(args)))
            return
        pointwise = torch.Tag.pointwise in func.tags or name.startswith(
            ("masked_fill", "fill", "_foreach", "lerp")
        )
        tensors = list(tensors_in(args))
        strangers = [tensor for tensor in tensors if place(tensor) == CPU]
        written = func._schema.is_mutable and place(tensors[0]) == CPU
        if (
            written
            or not pointwise
            or len(set(places) - {CPU}) > 1
            or any(tensor.dim() for tensor in strangers)
        ):
            raise mixed
        if name == "where":
            gpu.wait("copy of a number", len(strangers))

    def _count(self, func, name, args, kwargs) -> None:
        gpu = self.gpu
        gpu.wait(name, WAITS.get(name, 0))
        if name == "repeat_interleave" and kwargs.get("output_size") is None:
            gpu.wait("repeat_interleave without output_size")
        backends = torch.backends
        short = (name == "convolution" and backends.cudnn.allow_tf32) or (
            name in PRODUCTS and backends.cuda.matmul.allow_tf32
        )
        if short and args[0].dtype == torch.float32:
            gpu.counts.tf32[gpu.line()] += 1
        kernels = KERNELS.get(name, 0 if name in FREE or func.is_view else 1)
        if name == "convolution_backward":
            kernels = sum(args[-1])
        elif name == "native_batch_norm" and not args[5]:
            kernels = 1
        elif name.startswith(("_foreach", "_fused")):
            kernels = _list_launches(args)
        elif name in INDEXING:
            masks = sum(
                i is not None and i.dtype in (torch.bool, torch.uint8) and place(i) != CPU for i in args[1]
            )
            if masks and not (len(args) > 2 and _fills_a_mask(args)):
                gpu.wait("boolean mask", masks)
                kernels += KERNELS["nonzero"] * masks
            if len(args) > 3 and args[3]:
                kernels += 6  # adds up by sorting
        gpu.launch(name, kernels)


def _fills_a_mask(args) -> bool:
    """Return whether ``x[mask] = number`` is what happens, for which CUDA need not know how many are set."""
    indices = [index for index in args[1] if index is not None]
    return len(indices) == 1 and indices[0].dtype in (torch.bool, torch.uint8) and args[2].numel() == 1


def _list_launches(args) -> int:
    """Return the launches of an operator on lists of tensors.

    A launch takes so many tensors and 320 blocks of 65,536 values, as its arguments have 4 KB (torch's
    MultiTensorApply.cuh).
    """
    lists = [one for one in args if isinstance(one, tuple | list) and one and isinstance(one[0], Tensor)]
    if not lists:
        return 1
    most = (110, 64, 48, 36, 30)[min(len(lists), 5) - 1]
    launches = blocks = tensors = 0
    for tensor in lists[0]:
        chunks, tensors = -(-tensor.numel() // 65536), tensors + 1
        for chunk in range(chunks):
            blocks += 1
            last = chunk == chunks - 1
            if blocks == 320 or (last and tensors == most):
                launches, blocks, tensors = launches + 1, 0, 0 if last else 1
    return launches + (blocks > 0)
