"""The state of an unfinished fit, training run or search, so that a killed one goes on from there."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from neuroreg.files.weights import open_weights, write_weights


@dataclass
class Progress:
    """What a run has reached, nothing at first.

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


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU, which further training leaves alone."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


class ResumeFile:
    """Where an unfinished run keeps what it has reached; removed when a ``with`` block ends well.

    Parameters
    ----------
    path
        The file; None keeps nothing.
    code
        What tells this version of the code from others; a run goes on only under the same.
    """

    def __init__(self, path: Path | None = None, code: str = "") -> None:
        self._path, self._code, self._fingerprint = path, code, ""

    @classmethod
    def beside(cls, output: str | Path, code: str) -> "ResumeFile":
        """Return the one of an output that is not there yet, ``resume_<its name>.safetensors``."""
        output = Path(output)
        return cls(output.with_name(f"resume_{output.stem}.safetensors"), code)

    def __enter__(self) -> "ResumeFile":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None and self._path:
            self._path.unlink(missing_ok=True)

    def load(self, settings: object, arrays: Iterable[np.ndarray]) -> Progress:
        """Return what this very run has reached, nothing if the file is missing or another run's.

        Parameters
        ----------
        settings
            All that decides the run beside data and code, the seed too, in types of JSON.
        arrays
            Its data.
        """
        if self._path is None:
            return Progress()
        digest = sha256(json.dumps([self._code, settings], sort_keys=True).encode())
        for array in arrays:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8))  # type: ignore[arg-type]
        self._fingerprint = digest.hexdigest()
        if not self._path.is_file():
            return Progress()
        try:
            with open_weights(self._path) as file:
                metadata = file.metadata() or {}
                if metadata.get("fingerprint") != self._fingerprint:
                    return Progress()
                history = json.loads(metadata["history"])
                if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
                    return Progress()
                progress = Progress(history, int(metadata["best"]))
                for key in file.keys():  # noqa: SIM118 (not a mapping)
                    group, name = key.split("/", 1)
                    progress.tensors.setdefault(group, {})[name] = file.get_tensor(key)
        except (SafetensorError, KeyError, ValueError):
            return Progress()
        return progress

    @contextmanager
    def saving(self, progress: Progress) -> Iterator[None]:
        """Save, if an interrupt ends the block, what was reached before it, which the block leaves alone."""
        try:
            yield
        except KeyboardInterrupt:
            if progress.history:
                self.save(progress)
            raise

    def save(self, progress: Progress) -> None:
        """Write what the run that `load` was asked for has reached, atomically."""
        if self._path is None:
            return
        flat = {
            f"{group}/{name}": tensor
            for group, tensors in progress.tensors.items()
            for name, tensor in tensors.items()
        }
        metadata = {
            "fingerprint": self._fingerprint,
            "history": json.dumps(progress.history),
            "best": str(progress.best),
        }
        write_weights(self._path, flat, metadata)
