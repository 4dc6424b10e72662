"""Minimal distances over all attacks of a comparison (Fig. 2 of the supplement); free of torch."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import NORMS, AttackResult, load_attack


def collect_distances(entries: Iterable[tuple[str, int, str, str | Path]]) -> pd.DataFrame:
    """Return the smallest distance per model, seed, sample and norm.

    Parameters
    ----------
    entries
        (model name, model seed, attack name, path of the attack's file) of every file of the comparison.

    Returns
    -------
    DataFrame
        Columns model, seed, sample, label, correct, norm, distance, attack. `distance` (float64, pixels in
        [0, 1]) is the minimum over attacks, settings and repetitions: inf if none was found, 0 where
        `correct` is False. `attack` is the first that reached it, empty if none did or the clean sample is
        misclassified. Ordered by the first appearance of (model, seed), then norm, then sample.

    Raises
    ------
    InputError
        If there are no entries, or the files differ in samples or labels, or two attacks on one model differ
        in which clean samples are correct.
    """
    tables: dict[tuple[str, int], _Minima] = {}
    first: Path | None = None
    for model, seed, attack, path in entries:
        path, result = Path(path), load_attack(path)
        if first is None:
            first, sample, label = path, result.sample, result.label
        if not (np.array_equal(result.sample, sample) and np.array_equal(result.label, label)):
            raise InputError(
                f"{path}: samples or labels differ from {first}; expected the same in every file."
            )
        minima = tables.setdefault((model, seed), _Minima(path, result.clean_correct))
        if not np.array_equal(result.clean_correct, minima.correct):
            raise InputError(
                f"{path}: the correct clean samples differ from {minima.path}; expected attacks on one model."
            )
        minima.add(attack, result)
    if first is None:
        raise InputError("distances: no attack files; expected at least one.")
    parts = [
        pd.DataFrame(
            {
                "model": model,
                "seed": seed,
                "sample": sample,
                "label": label,
                "correct": minima.correct,
                "norm": norm,
                "distance": minima.distance[norm],
                "attack": minima.attack[norm],
            }
        )
        for (model, seed), minima in tables.items()
        for norm in NORMS
    ]
    return pd.concat(parts, ignore_index=True)


class _Minima:
    """The smallest distances to one model so far; nothing else of the attacks' files stays in memory."""

    def __init__(self, path: Path, correct: np.ndarray) -> None:
        self.path, self.correct = path, correct
        self.distance = {norm: np.full(len(correct), np.inf) for norm in NORMS}
        self.attack = {norm: np.full(len(correct), "", dtype=object) for norm in NORMS}

    def add(self, attack: str, result: AttackResult) -> None:
        for norm in NORMS:
            values = result.distance[norm].min(axis=(0, 1)).astype(np.float64)
            closer = values < self.distance[norm]
            self.distance[norm][closer] = values[closer]
            self.attack[norm][closer & self.correct] = attack
