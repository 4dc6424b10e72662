"""The closest adversarials of some samples over all attacks on one model; free of torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import NORMS, AttackResult, load_attacks


@dataclass(frozen=True)
class Closest:
    """What the attacks on one model found, S samples.

    Attributes
    ----------
    sample, label
        int64 (S,), indices into the test set and classes.
    clean
        uint8 (S, H, W).
    correct
        bool (S,), whether the model classifies the clean image correctly.
    distance
        Norm to float64 (S,), the minimum over attacks; inf where none, 0 where misclassified.
    without_last
        Norm to float64 (S,), the minimum if every attack had had one repetition less; inf if it had but one.
    adversarial
        Norm to float32 (S, H, W), NaN where none, the clean image where misclassified.
    predicted
        Norm to int64 (S,), the class that the model takes it for; -1 where none.
    attack
        Norm to str (S,), which found it, the first of equals; empty where none did.
    """

    sample: np.ndarray
    label: np.ndarray
    clean: np.ndarray
    correct: np.ndarray
    distance: dict[str, np.ndarray]
    without_last: dict[str, np.ndarray]
    adversarial: dict[str, np.ndarray]
    predicted: dict[str, np.ndarray]
    attack: dict[str, np.ndarray]


def closest_adversarials(paths: Sequence[str | Path], attacks: Iterable[str]) -> Closest:
    """Return the closest adversarials over the files of all attacks on one model.

    Parameters
    ----------
    paths
        The attacks' files.
    attacks
        Their names, in the same order.

    Raises
    ------
    InputError
        If there is no file, or the files differ in samples, images or which of them are correct.
    """
    closest: Closest | None = None
    for result, attack in zip(load_attacks(paths), attacks, strict=True):
        if closest is None:
            closest = _nothing(result)
        for norm in NORMS:
            fewer = result.distance[norm][:, :-1].min(axis=(0, 1), initial=np.inf)
            np.minimum(closest.without_last[norm], fewer, out=closest.without_last[norm])
            values = result.distance[norm].min(axis=(0, 1)).astype(np.float64)
            closer = values < closest.distance[norm]
            closest.distance[norm][closer] = values[closer]
            closest.adversarial[norm][closer] = result.best_adversarial[norm][closer]
            closest.predicted[norm][closer] = result.predicted[norm][closer]
            closest.attack[norm][closer & closest.correct] = attack
    if closest is None:
        raise InputError("closest adversarials: no attack files; expected at least one.")
    return closest


def _nothing(result: AttackResult) -> Closest:
    count = len(result.sample)
    return Closest(
        sample=result.sample,
        label=result.label,
        clean=result.clean,
        correct=result.clean_correct,
        distance={norm: np.full(count, np.inf) for norm in NORMS},
        without_last={norm: np.full(count, np.inf) for norm in NORMS},
        adversarial={norm: np.full(result.clean.shape, np.nan, dtype=np.float32) for norm in NORMS},
        predicted={norm: np.full(count, -1) for norm in NORMS},
        attack={norm: np.full(count, "", dtype=object) for norm in NORMS},
    )
