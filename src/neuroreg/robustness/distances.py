"""Minimal distances over all attacks of a comparison (Fig. 2 of the supplement); free of torch."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import NORMS
from neuroreg.robustness.closest import closest_adversarials


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
