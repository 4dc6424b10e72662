"""Minimal adversarial distances of all models as one table, and what is summed up of it."""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuroreg.analysis.checks import check_frame
from neuroreg.analysis.intervals import positive
from neuroreg.analysis.linear import linear_means
from neuroreg.analysis.medians import median
from neuroreg.errors import InputError
from neuroreg.files.storage import read_csv
from neuroreg.robustness.attack_result import NORMS, Closest, closest_adversarials
from neuroreg.robustness.largest import largest_distances

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
        Columns model, seed, sample, label, correct, norm, distance, largest, attack. `distance` (float64,
        pixels in [0, 1]) is the minimum over attacks, settings and repetitions: inf if none was found, 0
        where `correct` is False. `largest` is the distance of the farthest image there is
        (`neuroreg.robustness.largest.largest_distances`). `attack` is the first that reached it, empty if
        none did or the clean sample is misclassified. Ordered by the first appearance of (model, seed), then
        norm, then sample. If there is any `tightening`: ``distance_<attack>``, the smallest distance that
        each of these attacks found by itself; tightened and tightened_by, like distance and attack, but over
        all attacks.

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
        part = closest_table(found)
        for attack, own in alone.items():
            part[f"distance_{attack}"] = np.concatenate([own.distance[norm] for norm in NORMS])
        if every:
            part["tightened"] = np.concatenate([every.distance[norm] for norm in NORMS])
            part["tightened_by"] = np.concatenate([every.attack[norm] for norm in NORMS])
        part.insert(0, "model", model)
        part.insert(1, "seed", seed)
        parts.append(part)
    if not parts:
        raise InputError("distances: no attack files; expected at least one.")
    return pd.concat(parts, ignore_index=True)


def closest_table(found: Closest) -> pd.DataFrame:
    """Return the closest adversarials of one model as a table, a row for each norm and sample.

    Columns sample, label, correct, norm, distance, largest, attack, as of `collect_distances`.
    """
    largest = largest_distances(found.clean)
    parts = [
        pd.DataFrame(
            {
                "sample": found.sample,
                "label": found.label,
                "correct": found.correct,
                "norm": norm,
                "distance": found.distance[norm],
                "largest": largest[norm],
                "attack": found.attack[norm],
            }
        )
        for norm in NORMS
    ]
    return pd.concat(parts, ignore_index=True)


def load_distances(path: str | Path, tightening: Collection[str] = ()) -> pd.DataFrame:
    """Return the distances of a run of the workflow as one table: a row a model, seed, norm and sample.

    Parameters
    ----------
    path
        ``results/distances.csv``; or a folder ``results/attacks``, of which all files
        ``<model>/seed<seed>/<attack>.h5`` are taken, in the order of their names, whichever config they are
        of.
    tightening
        Names of a folder's attacks that count apart, see `collect_distances`.

    Returns
    -------
    DataFrame
        As `collect_distances` returns it; from a CSV file `attack` is NaN where none is named.

    Raises
    ------
    InputError
        If there is neither, or the files do not fit together.
    """
    path = Path(path)
    if not path.is_dir():
        frame = read_csv(path, numbers=["label"])
        numbers = ["seed", "sample", "distance", "largest"]
        check_frame(frame, str(path), ["model", "norm", "attack", "correct"], numbers)
        return frame
    entries = []
    for file in sorted(path.glob("*/seed*/*.h5")):
        seed = file.parent.name.removeprefix("seed")
        unfinished = file.name.startswith(".") or re.search(r"\.part\d+$", file.stem)
        if seed.isdecimal() and not unfinished:
            entries.append((file.parent.parent.name, int(seed), file.stem, file))
    if not entries:
        raise InputError(f"{path}: no files <model>/seed<seed>/<attack>.h5; expected those of attacks.")
    return collect_distances(entries, tightening)


def distance_matrix(
    distances: pd.DataFrame, model: str, norm: str, column: str = "distance"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one model's distances under one norm as a matrix; `distances` as `check_distances` returns them.

    `column` names another than that of the distances.

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
    table = part.pivot(index="seed", columns="sample", values=[column, "correct"])
    distance, correct = table[column], table["correct"]
    return distance.to_numpy(np.float64), correct.to_numpy(bool), distance.index.to_numpy()


@dataclass(frozen=True)
class SharedSeeds:
    """The distances under one norm of C models that share S seeds, N samples.

    Attributes
    ----------
    models
        C names.
    distance, correct
        float64 and bool (C, S, N), each as of `distance_matrix`.
    largest
        float64 (C, S, N), the distance of the farthest image there is.
    seeds
        (S,), ascending.
    """

    models: tuple[str, ...]
    distance: np.ndarray
    correct: np.ndarray
    largest: np.ndarray
    seeds: np.ndarray

    def bounded(self, distance: np.ndarray | None = None) -> np.ndarray:
        """Return the distances, or others like them, with the largest possible ones in place of inf."""
        distance = self.distance if distance is None else distance
        return np.where(np.isfinite(distance), distance, self.largest)


def sharing_seeds(
    seeds: Mapping[str, Iterable[int]], apart: Collection[str]
) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Return the models that share their seeds together, and these; in the order of the first of each.

    Those named in `apart` share theirs with no other: networks that were trained elsewhere, for which seed 1
    is another start than here, and which need not vary as much.

    Parameters
    ----------
    seeds
        Of each model, ascending.
    apart
        Names of models.
    """
    groups: dict[tuple[str | None, tuple[int, ...]], list[str]] = {}
    for model, own in seeds.items():
        groups.setdefault((model if model in apart else None, tuple(own)), []).append(model)
    return [(tuple(models), shared) for (_, shared), models in groups.items()]


def stack_distances(
    distances: pd.DataFrame, models: Iterable[str], norm: str, apart: Collection[str] = ()
) -> list[SharedSeeds]:
    """Return the distances under one norm, those of models of `sharing_seeds` together."""
    matrices, seeds_of = {}, {}
    for model in models:
        distance, correct, seeds_of[model] = distance_matrix(distances, model, norm)
        matrices[model] = distance, correct, distance_matrix(distances, model, norm, "largest")[0]
    return [
        SharedSeeds(  # type: ignore[call-arg]
            group,
            *(np.stack(parts) for parts in zip(*(matrices[model] for model in group), strict=True)),
            np.array(seeds),
        )
        for group, seeds in sharing_seeds(seeds_of, apart)
    ]


def _summary(distance: np.ndarray, correct: np.ndarray, bounded: np.ndarray) -> dict[str, float | int]:
    """Summarise one set of distances: the mean of the finite ones, the median with inf as largest."""
    found = np.isfinite(distance)
    tried = int(correct.sum())
    failures = int((~found).sum())
    return {
        "mean": float(distance[found].mean()) if found.any() else math.nan,
        "bound": float(bounded.mean()) if distance.size else math.nan,
        "median": float(np.median(distance)) if distance.size else math.nan,
        "n": int(distance.size),
        "n_correct": tried,
        "not_found": failures,
        "success": 1 - failures / tried if tried else math.nan,
    }


def _over_seeds(of_seeds: list[dict[str, float | int]]) -> dict[str, float | int]:
    """Return one summary of several seeds': means of their means and medians, sums of their numbers."""
    total = {name: sum(row[name] for row in of_seeds) for name in ("n", "n_correct", "not_found")}
    means = {}
    for name in ("mean", "bound", "median"):
        known = [row[name] for row in of_seeds if not math.isnan(row[name])]
        means[name] = float(np.mean(known)) if known else math.nan
    tried = total["n_correct"]
    return {**means, **total, "success": 1 - total["not_found"] / tried if tried else math.nan}


def _intervals(group: SharedSeeds, chosen: np.ndarray) -> Iterator[dict[str, float]]:
    """Yield for each model of a group the ends of the intervals of its mean, its bound and its median."""
    linear = {
        "": linear_means(group.distance, chosen & np.isfinite(group.distance)),
        "bound_": linear_means(group.bounded(), chosen),
    }
    # A few of the largest distances make means vary so much that nothing is to be learnt of other models'.
    failing = (chosen & np.isinf(group.distance)).any(axis=(1, 2))
    for index, weights in enumerate(np.eye(len(group.models))):
        of_median = median(group.distance, chosen, index)
        ends = {"median_low": float(of_median.low), "median_high": float(of_median.high)}
        for name, values in linear.items():
            of = failing if name == "bound_" and failing @ weights else np.full_like(failing, True)
            _, low, high, _ = positive(values[of], weights[of])
            ends |= {f"{name}low": float(low), f"{name}high": float(high)}
        if not failing @ weights:
            ends |= {"bound_low": ends["low"], "bound_high": ends["high"]}
        yield ends


def distance_statistics(
    distances: pd.DataFrame, models: Mapping[str, str], apart: Collection[str] = ()
) -> pd.DataFrame:
    """Summarise minimal adversarial distances per norm, model, convention and seed.

    Parameters
    ----------
    distances
        As `check_distances` returns them.
    models
        Model name to display label, in the order of the rows.
    apart
        Models that share their seeds with no other, see `sharing_seeds`.

    Returns
    -------
    pandas.DataFrame
        One row per norm, model, `samples` and level. `samples` is ``all`` (misclassified samples count with
        distance 0) or ``correct`` (only samples that the model classifies correctly); `level` is ``one seed``
        or ``over seeds``. `mean`: of the distances found; `bound`: of all, the largest possible distance of
        the image standing for those not found, so that the mean lies at most there; `median`: with inf as
        the largest; over seeds the mean of the seeds' means, bounds and medians. low, high, bound_low,
        bound_high, median_low, median_high: the ends of their 95 % intervals
        (`neuroreg.analysis.intervals`; NaN for single seeds); `n`: distances; `n_correct`:
        those of correctly classified samples; `not_found`: samples without an adversarial; `success`: the
        share of the correctly classified samples for which one was found.
    """
    rows = []
    for norm in NORMS:
        summaries = {}
        for group in stack_distances(distances, models, norm, apart):
            for samples in ("all", "correct"):
                chosen = np.ones_like(group.correct) if samples == "all" else group.correct
                ends = _intervals(group, chosen)
                matrices = (group.distance, group.correct, group.bounded())
                for index, (model, interval) in enumerate(zip(group.models, ends, strict=True)):
                    of_seeds = [
                        _summary(*(values[index, seed, counted] for values in matrices))
                        for seed, counted in enumerate(chosen[index])
                    ]
                    over = {"level": OVER_SEEDS, "seed": None, "seeds": len(group.seeds)}
                    summaries[model, samples] = [over | _over_seeds(of_seeds) | interval] + [
                        {"level": ONE_SEED, "seed": int(seed), "seeds": 1, **row}
                        for seed, row in zip(group.seeds, of_seeds, strict=True)
                    ]
        for model, label in models.items():
            for samples in ("all", "correct"):
                head = {"norm": norm, "model": model, "label": label, "samples": samples}
                rows += [head | row for row in summaries[model, samples]]
    head = "norm model label samples level seed seeds mean low high bound bound_low bound_high"
    head += " median median_low median_high"
    order = [*head.split(), "n", "n_correct", "not_found", "success"]
    return pd.DataFrame(rows)[order].astype({"seed": "Int64"})
