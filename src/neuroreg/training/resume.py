"""The state of an unfinished training run, so that a killed one goes on from its last epoch."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from neuroreg.storage import atomic_path


@dataclass
class Progress:
    """What a run has reached.

    Attributes
    ----------
    history
        One row per finished epoch.
    best
        Index of the epoch that is kept so far, -1 before the first.
    tensors
        Groups of named tensors: ``model``, ``similarity``, ``momentum`` and, of the best epoch,
        ``best_model`` and ``best_similarity``.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: int = -1
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def save_progress(path: Path, progress: Progress, fingerprint: str) -> None:
    """Write the state of a run, atomically; `fingerprint` names the run that it belongs to."""
    flat = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, tensors in progress.tensors.items()
        for name, tensor in tensors.items()
    }
    metadata = {
        "fingerprint": fingerprint,
        "history": json.dumps(progress.history),
        "best": str(progress.best),
    }
    with atomic_path(path) as partial:
        save_file(flat, partial, metadata=metadata)


def load_progress(path: Path, fingerprint: str) -> Progress | None:
    """Return the state of the run named by `fingerprint`; None if there is none at `path`."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return None
            progress = Progress(json.loads(metadata["history"]), int(metadata["best"]))
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                group, name = key.split("/", 1)
                progress.tensors.setdefault(group, {})[name] = file.get_tensor(key)
    except SafetensorError:
        return None
    return progress
