"""The file that an attack's search leaves behind; free of torch."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.storage import open_h5, read_strings, write_h5

NORMS = ("l0", "l1", "l2", "linf")


@dataclass(frozen=True)
class AttackResult:
    """One attack's search on one model: R settings, K repetitions, S samples.

    Attributes
    ----------
    sample
        int64 (S,), indices into the test set.
    label
        int64 (S,).
    clean_correct
        bool (S,); only these were attacked.
    distance
        Norm (l0, l1, l2, linf) to float32 (R, K, S), pixels in [0, 1]; inf where no adversarial was found, 0
        where the clean sample is misclassified.
    best_adversarial
        Norm to float32 (S, H, W), the closest verified adversarial over settings and repetitions; NaN where
        none, the clean image where that is misclassified.
    queries
        int64 (R, K, S), forward passes spent on each sample.
    verified
        bool (R, K, S), whether a finite distance was verified.
    settings
        R complete settings.
    """

    sample: np.ndarray
    label: np.ndarray
    clean_correct: np.ndarray
    distance: dict[str, np.ndarray]
    best_adversarial: dict[str, np.ndarray]
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
    datasets = {
        "sample": result.sample,
        "label": result.label,
        "clean_correct": result.clean_correct,
        "queries": result.queries,
        "verified": result.verified,
        "settings": np.array(
            [json.dumps(setting, sort_keys=True) for setting in result.settings], dtype=np.str_
        ),
    }
    for norm in NORMS:
        datasets[f"distance/{norm}"] = result.distance[norm]
        datasets[f"best_adversarial/{norm}"] = result.best_adversarial[norm]
    write_h5(path, "attacks", datasets, config=config, inputs=inputs)


def load_attack(path: str | Path) -> AttackResult:
    """Return what `save_attack` wrote.

    Raises
    ------
    InputError
        If the file is missing, unreadable, or not of kind ``attacks``.
    """
    with open_h5(path, "attacks") as file:
        return AttackResult(
            sample=file["sample"][()],
            label=file["label"][()],
            clean_correct=file["clean_correct"][()],
            distance={norm: file[f"distance/{norm}"][()] for norm in NORMS},
            best_adversarial={norm: file[f"best_adversarial/{norm}"][()] for norm in NORMS},
            queries=file["queries"][()],
            verified=file["verified"][()],
            settings=tuple(json.loads(text) for text in read_strings(file["settings"])),
        )
