"""Every try of every attack on one model; free of torch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import NORMS, load_attacks

Run = tuple[str, int]
"""A model's name and its seed."""


@dataclass(frozen=True)
class Tries:
    """What each try found: T settings of all attacks together, K repetitions, S samples.

    Attributes
    ----------
    attack, setting
        T names of attacks and T complete settings as JSON, in the order of the config.
    correct
        bool (S,), whether the model classifies the clean image correctly; only these were attacked.
    distance
        Norm (l0, l1, l2, linf) to float32 (T, K, S), pixels in [0, 1]; inf where no adversarial was found, 0
        where the clean sample is misclassified.
    queries
        int64 (T, K, S), forward passes; 0 where misclassified.
    """

    attack: tuple[str, ...]
    setting: tuple[str, ...]
    correct: np.ndarray
    distance: dict[str, np.ndarray]
    queries: np.ndarray


def join_tries(paths: Sequence[str | Path], attacks: Sequence[str]) -> Tries:
    """Return the tries of all attacks on one model together.

    Parameters
    ----------
    paths
        The attacks' files.
    attacks
        Their names, in the same order.

    Raises
    ------
    InputError
        If there is no file, or the files differ in samples, in which of them are correct, or in the number of
        repetitions.
    """
    if not paths:
        raise InputError("tries: no attack files; expected at least one.")
    names, settings, correct, distance, queries = [], [], None, {norm: [] for norm in NORMS}, []
    for path, attack, result in zip(paths, attacks, load_attacks(paths), strict=True):
        repetitions = result.queries.shape[1]
        if queries and repetitions != queries[0].shape[1]:
            raise InputError(
                f"{path}: {repetitions} repetitions; expected {queries[0].shape[1]} as in {paths[0]}."
            )
        names += [attack] * len(result.settings)
        settings += [json.dumps(setting, sort_keys=True) for setting in result.settings]
        correct = result.clean_correct
        queries.append(result.queries)
        for norm in NORMS:
            distance[norm].append(result.distance[norm])
    return Tries(
        attack=tuple(names),
        setting=tuple(settings),
        correct=correct,
        distance={norm: np.concatenate(parts) for norm, parts in distance.items()},
        queries=np.concatenate(queries),
    )


def join_runs(
    paths: Iterable[str | Path], runs: Iterable[Sequence], attacks: Sequence[str]
) -> dict[Run, Tries]:
    """Return each run's tries; `paths` has its attacks' files run by run. Errors as in `join_tries`."""
    paths = iter(paths)
    return {tuple(run): join_tries([next(paths) for _ in attacks], attacks) for run in runs}


def setting_costs(runs: Mapping[Run, Tries]) -> np.ndarray:
    """Return float64 (T,), each setting's mean forward passes per attacked sample, repetition and run.

    NaN where no sample of any run was attacked.

    Raises
    ------
    InputError
        If there is no run, or runs differ in their attacks, settings or repetitions.
    """
    if not runs:
        raise InputError("tries: no models; expected at least one.")
    first, other = next(iter(runs.items()))
    for run, tries in runs.items():
        if (tries.attack, tries.setting, tries.queries.shape) != (
            other.attack,
            other.setting,
            other.queries.shape,
        ):
            raise InputError(
                f"tries: attacks, settings, repetitions or samples of {run[0]}, seed {run[1]} differ from "
                f"those of {first[0]}, seed {first[1]}; expected the same for every model."
            )
    attacked = np.concatenate([tries.queries[..., tries.correct] for tries in runs.values()], axis=2)
    if not attacked.shape[2]:
        return np.full(len(other.attack), np.nan)
    return attacked.mean(axis=(1, 2))
