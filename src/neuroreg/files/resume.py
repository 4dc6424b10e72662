"""The state of an unfinished fit, training run or search, so that a killed one goes on from there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from neuroreg.files.storage import atomic_path


@dataclass
class Progress:
    """What a run has reached.

    Attributes
    ----------
    history
        One row per finished epoch, or batch of a search.
    best
        Index of the epoch that is kept so far, -1 before the first and in a search.
    tensors
        Groups of named tensors, such as ``model``, the optimiser's state, and what is kept of the best epoch.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: int = -1
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def fingerprint(settings: object, arrays: Iterable[np.ndarray]) -> str:
    """Return a digest of what decides a run: data, and settings that JSON can hold, with seed and code."""
    digest = sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8))
    return digest.hexdigest()


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU, which further training leaves alone."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def save_progress(path: Path, progress: Progress, mark: str) -> None:
    """Write the state of a run, atomically; `mark` is the fingerprint of the run that it belongs to."""
    flat = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, tensors in progress.tensors.items()
        for name, tensor in tensors.items()
    }
    metadata = {
        "fingerprint": mark,
        "history": json.dumps(progress.history),
        "best": str(progress.best),
    }
    with atomic_path(path) as partial:
        save_file(flat, partial, metadata=metadata)


def load_progress(path: Path, mark: str) -> Progress | None:
    """Return the state of the run with the fingerprint `mark`; None if there is none at `path`."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != mark:
                return None
            progress = Progress(json.loads(metadata["history"]), int(metadata["best"]))
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                group, name = key.split("/", 1)
                progress.tensors.setdefault(group, {})[name] = file.get_tensor(key)
    except SafetensorError:
        return None
    return progress
