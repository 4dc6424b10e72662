"""Minimal adversarial distances of all models as one table, and what is summed up of it."""

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import NORMS, closest_adversarials

ONE_SEED, OVER_SEEDS = "one seed", "over seeds"  # the column level of every frame of drawn numbers


def collect_distances(
    entries: Iterable[tuple[str, int, str, str | Path]], tightening: Collection[str] = ()
) -> pd.DataFrame:
    """Return the smallest distance per model, seed, sample and norm.

    Parameters
    ----------
    entries
        (model name, model seed, attack name, path of the attack's file) of every file of the comparison.
    tightening
        Names of the attacks that are no part of the comparison itself but only of `tightened`.

    Returns
    -------
    DataFrame
        Columns model, seed, sample, label, correct, norm, distance, attack. `distance` (float64, pixels in
        [0, 1]) is the minimum over attacks, settings and repetitions: inf if none was found, 0 where
        `correct` is False. `attack` is the first that reached it, empty if none did or the clean sample is
        misclassified. Ordered by the first appearance of (model, seed), then norm, then sample. If there is
        any `tightening`: ``distance_<attack>``, the smallest distance that each of these attacks found by
        itself; tightened and tightened_by, like distance and attack, but over all attacks.

    Raises
    ------
    InputError
        If there are no entries, or a model has only tightening ones, or the files differ in samples or
        labels, or two attacks on one model differ in which clean samples are correct.
    """
    groups: dict[tuple[str, int], dict[str, str | Path]] = {}
    for model, seed, attack, path in entries:
        groups.setdefault((model, seed), {})[attack] = path
    parts, first = [], None
    for (model, seed), files in groups.items():
        attacks = [attack for attack in files if attack not in tightening]
        paths = [files[attack] for attack in attacks]
        found = closest_adversarials(paths, attacks)
        first = first or (paths[0], found)
        if not (
            np.array_equal(found.sample, first[1].sample) and np.array_equal(found.label, first[1].label)
        ):
            raise InputError(
                f"{paths[0]}: samples or labels differ from {first[0]}; expected the same in every file."
            )
        further = {attack: path for attack, path in files.items() if attack in tightening}
        alone = {attack: closest_adversarials([path], [attack]) for attack, path in further.items()}
        # All files at once, so that differences in samples are noticed.
        every = closest_adversarials([*paths, *further.values()], [*attacks, *further]) if further else None
        parts += [
            pd.DataFrame(
                {
                    "model": model,
                    "seed": seed,
                    "sample": found.sample,
                    "label": found.label,
                    "correct": found.correct,
                    "norm": norm,
                    "distance": found.distance[norm],
                    "attack": found.attack[norm],
                    **{f"distance_{attack}": own.distance[norm] for attack, own in alone.items()},
                    **(
                        {"tightened": every.distance[norm], "tightened_by": every.attack[norm]}
                        if every
                        else {}
                    ),
                }
            )
            for norm in NORMS
        ]
    if not parts:
        raise InputError("distances: no attack files; expected at least one.")
    return pd.concat(parts, ignore_index=True)


def distance_matrix(
    distances: pd.DataFrame, model: str, norm: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one model's distances under one norm as a matrix; `distances` as `check_distances` returns them.

    Returns
    -------
    distance : float64 (seeds, samples)
        0 where the clean sample is misclassified, inf where no adversarial was found.
    correct : bool (seeds, samples)
        Whether the clean sample is classified correctly.
    seeds : (seeds,)
        The seeds, ascending. Columns are in ascending order of the sample's index.
    """
    part = distances[(distances["model"] == model) & (distances["norm"] == norm)]
    table = part.pivot(index="seed", columns="sample", values=["distance", "correct"])
    distance, correct = table["distance"], table["correct"]
    return distance.to_numpy(np.float64), correct.to_numpy(bool), distance.index.to_numpy()


def _summary(distance: np.ndarray, correct: np.ndarray) -> dict[str, float | int]:
    """Summarise one set of distances: the mean of the finite ones, the median with inf as largest."""
    found = np.isfinite(distance)
    tried = int(correct.sum())
    failures = int((~found).sum())
    return {
        "mean": float(distance[found].mean()) if found.any() else math.nan,
        "median": float(np.median(distance)) if distance.size else math.nan,
        "n": int(distance.size),
        "n_correct": tried,
        "not_found": failures,
        "success": 1 - failures / tried if tried else math.nan,
    }


def distance_statistics(distances: pd.DataFrame, models: Mapping[str, str]) -> pd.DataFrame:
    """Summarise minimal adversarial distances per norm, model, convention and seed.

    Parameters
    ----------
    distances
        As `check_distances` returns them.
    models
        Model name to display label, in the order of the rows.

    Returns
    -------
    pandas.DataFrame
        One row per norm, model, `samples` and level. `samples` is ``all`` (misclassified samples count with
        distance 0) or ``correct`` (only samples that the model classifies correctly); `level` is ``one seed``
        or ``over seeds``. `mean`: of the distances found, over seeds the mean of the seeds' means; `median`:
        with inf as the largest, over seeds of all seeds' samples together; `n`: distances; `n_correct`: those
        of correctly classified samples; `not_found`: samples without an adversarial; `success`: the share of
        the correctly classified samples for which one was found.
    """
    rows = []
    for norm in NORMS:
        for model, label in models.items():
            distance, correct, seeds = distance_matrix(distances, model, norm)
            for samples, chosen in (("all", np.ones_like(correct)), ("correct", correct)):
                head = {"norm": norm, "model": model, "label": label, "samples": samples}
                per_seed = [_summary(d[c], k[c]) for d, k, c in zip(distance, correct, chosen, strict=True)]
                pooled = _summary(distance[chosen], correct[chosen])
                means = [row["mean"] for row in per_seed if not math.isnan(row["mean"])]
                pooled["mean"] = float(np.mean(means)) if means else math.nan
                rows.append({**head, "level": OVER_SEEDS, "seed": None, "seeds": len(seeds), **pooled})
                rows += [
                    {**head, "level": ONE_SEED, "seed": int(seed), "seeds": 1, **row}
                    for seed, row in zip(seeds, per_seed, strict=True)
                ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})
