"""The file that an attack's search leaves behind; free of torch."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.storage import open_h5, read_strings, write_h5

NORMS = ("l0", "l1", "l2", "linf")
_PER_SAMPLE = ("sample", "label", "clean", "clean_correct", "queries", "verified")
# Of settings and repetitions as well, the samples last.
_PER_TRY = ("queries", "verified", "distance")
_PER_NORM = ("distance", "best_adversarial", "predicted", "found_by")


@dataclass(frozen=True)
class AttackResult:
    """One attack's search on one model: R settings, K repetitions, S samples.

    Attributes
    ----------
    sample
        int64 (S,), indices into the test set.
    label
        int64 (S,).
    clean
        uint8 (S, H, W), the images attacked.
    clean_correct
        bool (S,); only these were attacked.
    distance
        Norm (l0, l1, l2, linf) to float32 (R, K, S), pixels in [0, 1]; inf where no adversarial was found, 0
        where the clean sample is misclassified.
    best_adversarial
        Norm to float32 (S, H, W), the closest verified adversarial over settings and repetitions; NaN where
        none, the clean image where that is misclassified.
    predicted
        Norm to int64 (S,), the class that the model takes the closest adversarial for; -1 where none.
    found_by
        Norm to int64 (S, 2), the setting and the repetition that found the closest adversarial, counted from
        0; -1 where none did or the clean sample is misclassified.
    queries
        int64 (R, K, S), forward passes spent on each sample.
    verified
        bool (R, K, S), whether a finite distance was verified.
    settings
        R complete settings.
    """

    sample: np.ndarray
    label: np.ndarray
    clean: np.ndarray
    clean_correct: np.ndarray
    distance: dict[str, np.ndarray]
    best_adversarial: dict[str, np.ndarray]
    predicted: dict[str, np.ndarray]
    found_by: dict[str, np.ndarray]
    queries: np.ndarray
    verified: np.ndarray
    settings: tuple[dict, ...]


def save_attack(
    path: str | Path,
    result: AttackResult,
    config: Mapping | None = None,
    inputs: Iterable[str | Path] = (),
) -> None:
    """Write `result` as an HDF5 file of kind ``attacks``; `config` and `inputs` as in `write_h5`."""
    datasets = {name: getattr(result, name) for name in _PER_SAMPLE}
    datasets |= {f"{name}/{norm}": getattr(result, name)[norm] for name in _PER_NORM for norm in NORMS}
    settings = [json.dumps(setting, sort_keys=True) for setting in result.settings]
    datasets["settings"] = np.array(settings, dtype=np.str_)
    write_h5(path, "attacks", datasets, config=config, inputs=inputs)


def load_attack(path: str | Path) -> AttackResult:
    """Return what `save_attack` wrote.

    Raises
    ------
    InputError
        If the file is missing, unreadable, not of kind ``attacks``, or lacks a dataset.
    """
    with open_h5(path, "attacks") as file:
        expected = ["settings", *_PER_SAMPLE, *(f"{name}/{norm}" for name in _PER_NORM for norm in NORMS)]
        missing = [name for name in expected if name not in file]
        if missing:
            raise InputError(f"{path}: no dataset '{missing[0]}'; expected a complete file of an attack.")
        return AttackResult(
            **{name: file[name][()] for name in _PER_SAMPLE},
            **{name: {norm: file[f"{name}/{norm}"][()] for norm in NORMS} for name in _PER_NORM},
            settings=tuple(json.loads(text) for text in read_strings(file["settings"])),
        )


def join_parts(parts: Sequence[AttackResult]) -> AttackResult:
    """Return what was found for different samples with the same settings as one result, in this order."""

    def joined(name: str, pick: Callable = lambda value: value) -> np.ndarray:
        values = [pick(getattr(part, name)) for part in parts]
        return np.concatenate(values, axis=-1 if name in _PER_TRY else 0)

    return AttackResult(
        **{name: joined(name) for name in _PER_SAMPLE},
        **{name: {norm: joined(name, itemgetter(norm)) for norm in NORMS} for name in _PER_NORM},
        settings=parts[0].settings,
    )


def load_attacks(paths: Iterable[str | Path]) -> Iterator[AttackResult]:
    """Yield what the files of several attacks on one model hold, in their order.

    Raises
    ------
    InputError
        If the files differ in samples, images or which of them are correct, or as `load_attack`.
    """
    first: tuple[str | Path, AttackResult] | None = None
    for path in paths:
        result = load_attack(path)
        origin, other = first = first or (path, result)
        if not all(
            np.array_equal(getattr(result, n), getattr(other, n)) for n in ("sample", "label", "clean")
        ):
            raise InputError(
                f"{path}: samples or labels differ from {origin}; expected the same in every file."
            )
        if not np.array_equal(result.clean_correct, other.clean_correct):
            raise InputError(
                f"{path}: the correct clean samples differ from {origin}; expected attacks on one model."
            )
        yield result
