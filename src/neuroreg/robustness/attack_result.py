"""What attacks have found: one attack's file, and what the files of many say together; free of torch."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.records import dataset, read_record
from neuroreg.robustness.attacks.registry import NORMS
from neuroreg.robustness.largest import largest_distances

ModelSeed = tuple[str, int]
"""A trained model: its name and its seed."""
_PER_SAMPLE = ("sample", "label", "clean", "clean_correct", "passes", "verified", "not_finite")
# Of settings and repetitions as well, the samples last.
_PER_TRY = ("passes", "verified", "not_finite", "distance")
_PER_NORM = ("distance", "best_adversarial", "predicted", "found_by")


@dataclass(frozen=True)
class AttackResult:
    """One attack's search on one model: R settings, K repetitions, S samples.

    Attributes
    ----------
    sample
        int64 (S,), indices into the test set.
    label
        int64 (S,), their classes.
    clean
        uint8 (S, H, W), the images attacked.
    clean_correct
        bool (S,); only these were attacked.
    passes
        int64 (R, K, S), forward and backward passes spent on each sample.
    verified
        bool (R, K, S), whether a finite distance was verified.
    not_finite
        bool (R, K, S), whether the try met logits that are NaN or infinite, and so failed.
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
    settings
        R complete settings; in the file each is a text of JSON.
    logit_factor
        What attacks saw the model's logits multiplied by; verification saw them as they are.

    Raises
    ------
    InputError
        If the logit factor is no number above 0.
    """

    KIND = "attacks"

    sample: np.ndarray = dataset("sample", np.int64, "S")
    label: np.ndarray = dataset("label", np.int64, "S")
    clean: np.ndarray = dataset("clean", np.uint8, "S", "H", "W")
    clean_correct: np.ndarray = dataset("clean_correct", np.bool_, "S")
    passes: np.ndarray = dataset("passes", np.int64, "R", "K", "S")
    verified: np.ndarray = dataset("verified", np.bool_, "R", "K", "S")
    not_finite: np.ndarray = dataset("not_finite", np.bool_, "R", "K", "S")
    distance: dict[str, np.ndarray] = dataset("distance", np.float32, "R", "K", "S", names=NORMS)
    best_adversarial: dict[str, np.ndarray] = dataset(
        "best_adversarial", np.float32, "S", "H", "W", names=NORMS
    )
    predicted: dict[str, np.ndarray] = dataset("predicted", np.int64, "S", names=NORMS)
    found_by: dict[str, np.ndarray] = dataset("found_by", np.int64, "S", 2, names=NORMS)
    settings: tuple[dict, ...] = dataset(
        "settings",
        np.str_,
        "R",
        pack=lambda settings: [json.dumps(setting, sort_keys=True) for setting in settings],
        unpack=lambda texts: tuple(map(json.loads, texts)),
    )
    logit_factor: float = dataset("logit_factor", np.float64, default=1.0)

    def __post_init__(self) -> None:
        if not 0 < self.logit_factor < np.inf:
            raise InputError(f"attacks: logit_factor {self.logit_factor}; expected a number above 0.")


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
    not_finite
        int64 (S,), tries of all attacks that met logits that are NaN or infinite, and so failed.
    logit_factor
        What attacks saw the model's logits multiplied by.
    repetitions
        How often each setting was tried; the most of all attacks.
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
    not_finite: np.ndarray
    logit_factor: float = 1.0
    repetitions: int = 1


def closest_adversarials(paths: Iterable[str | Path], attacks: Sequence[str]) -> Closest:
    """Return the closest adversarials over the files of all attacks on one model.

    `attacks` are their names, in the order of the files.

    Raises
    ------
    InputError
        If there is no file, or as `load_attacks`.
    """
    return closest_of(load_attacks(paths), attacks)


def closest_of(results: Iterable[AttackResult], attacks: Sequence[str]) -> Closest:
    """Return the closest adversarials over the results of all attacks on one model, of the same samples.

    `attacks` are their names, in the order of the results.

    Raises
    ------
    InputError
        If there is none.
    """
    closest: Closest | None = None
    for result, attack in zip(results, attacks, strict=True):
        closest = closest or _nothing(result)
        closest = replace(closest, repetitions=max(closest.repetitions, result.passes.shape[1]))
        np.add(closest.not_finite, result.not_finite.sum(axis=(0, 1)), out=closest.not_finite)
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
        raise InputError("closest adversarials: no attack files or results; expected at least one.")
    return closest


def _nothing(result: AttackResult) -> Closest:
    shape = result.clean.shape

    def of_each_norm(shape: tuple[int, ...], value: object, dtype: type) -> dict[str, np.ndarray]:
        return {norm: np.full(shape, value, dtype=dtype) for norm in NORMS}

    return Closest(
        sample=result.sample,
        label=result.label,
        clean=result.clean,
        correct=result.clean_correct,
        distance=of_each_norm(shape[:1], np.inf, np.float64),
        without_last=of_each_norm(shape[:1], np.inf, np.float64),
        adversarial=of_each_norm(shape, np.nan, np.float32),
        predicted=of_each_norm(shape[:1], -1, np.int64),
        attack=of_each_norm(shape[:1], "", object),
        not_finite=np.zeros(shape[:1], dtype=np.int64),
        logit_factor=result.logit_factor,
    )


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
    passes
        int64 (T, K, S), forward and backward passes; 0 where misclassified.
    largest
        Norm to float64 (S,), the distance of the farthest image there is (`largest_distances`).
    """

    attack: tuple[str, ...]
    setting: tuple[str, ...]
    correct: np.ndarray
    distance: dict[str, np.ndarray]
    passes: np.ndarray
    largest: dict[str, np.ndarray]


def join_tries(paths: Iterable[str | Path], attacks: Sequence[str]) -> Tries:
    """Return the tries of all attacks on one model together.

    `attacks` are their names, in the order of the files.

    Raises
    ------
    InputError
        If there is no file, or the files differ in the number of repetitions, or as `load_attacks`.
    """
    paths = list(paths)
    names, settings, distance, passes = [], [], {norm: [] for norm in NORMS}, []
    for path, attack, result in zip(paths, attacks, load_attacks(paths), strict=True):
        repetitions = result.passes.shape[1]
        if passes and repetitions != passes[0].shape[1]:
            raise InputError(
                f"{path}: {repetitions} repetitions; expected {passes[0].shape[1]} as in {paths[0]}."
            )
        names += [attack] * len(result.settings)
        settings += [json.dumps(setting, sort_keys=True) for setting in result.settings]
        passes.append(result.passes)
        for norm in NORMS:
            distance[norm].append(result.distance[norm])
    if not passes:
        raise InputError("tries: no attack files; expected at least one.")
    return Tries(
        attack=tuple(names),
        setting=tuple(settings),
        correct=result.clean_correct,
        distance={norm: np.concatenate(parts) for norm, parts in distance.items()},
        passes=np.concatenate(passes),
        largest=largest_distances(result.clean),
    )


def join_runs(
    paths: Iterable[str | Path], runs: Iterable[Hashable], attacks: Sequence[str], join: Callable = join_tries
) -> dict:
    """Return each run to what `join(files, attacks)` makes of its files; `paths` has them run by run.

    A run is a (model, seed), or whatever else tells trained models apart; `join` is `join_tries` or
    `closest_adversarials`.
    """
    paths = iter(paths)
    return {run: join([next(paths) for _ in attacks], attacks) for run in runs}


def setting_costs(runs: Mapping[ModelSeed, Tries]) -> np.ndarray:
    """Return float64 (T,), each setting's mean passes per attacked sample, repetition and run.

    NaN where no sample of any run was attacked.

    Raises
    ------
    InputError
        If there is no run, or runs differ in their attacks, settings or repetitions.
    """
    if not runs:
        raise InputError("tries: no models; expected at least one.")
    asked = {run: (tries.attack, tries.setting, tries.passes.shape) for run, tries in runs.items()}
    first = next(iter(runs))
    for run in runs:
        if asked[run] != asked[first]:
            raise InputError(
                f"tries: attacks, settings, repetitions or samples of {run[0]}, seed {run[1]} differ from "
                f"those of {first[0]}, seed {first[1]}; expected the same for every model."
            )
    attacked = np.concatenate([tries.passes[..., tries.correct] for tries in runs.values()], axis=2)
    if not attacked.shape[2]:
        return np.full(len(attacked), np.nan)
    return attacked.mean(axis=(1, 2))


def join_parts(parts: Sequence[AttackResult]) -> AttackResult:
    """Return what was found for different samples with the same settings as one result, in this order."""

    def joined(name: str, pick: Callable = lambda value: value) -> np.ndarray:
        values = [pick(getattr(part, name)) for part in parts]
        return np.concatenate(values, axis=-1 if name in _PER_TRY else 0)

    return AttackResult(
        **{name: joined(name) for name in _PER_SAMPLE},
        **{name: {norm: joined(name, itemgetter(norm)) for norm in NORMS} for name in _PER_NORM},
        settings=parts[0].settings,
        logit_factor=parts[0].logit_factor,
    )


def load_attacks(paths: Iterable[str | Path]) -> Iterator[AttackResult]:
    """Yield what the files of several attacks on one model hold, in their order.

    Raises
    ------
    InputError
        If the files differ in samples, images or which of them are correct, a distance is NaN or negative, or
        as `read_record`.
    """
    first: tuple[str | Path, AttackResult] | None = None
    for path in paths:
        result = read_record(path, AttackResult)
        if not all((values >= 0).all() for values in result.distance.values()):
            raise InputError(f"{path}: distances below 0 or NaN; expected numbers from 0 to inf.")
        origin, other = first = first or (path, result)
        names = "sample", "label", "clean"
        if not all(np.array_equal(getattr(result, name), getattr(other, name)) for name in names):
            raise InputError(
                f"{path}: samples or labels differ from {origin}; expected the same in every file."
            )
        if not np.array_equal(result.clean_correct, other.clean_correct):
            raise InputError(
                f"{path}: the correct clean samples differ from {origin}; expected attacks on one model."
            )
        yield result
