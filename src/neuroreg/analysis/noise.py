"""Accuracy under noise, as counted by `neuroreg.robustness.noise`, over seeds and test images."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from neuroreg.analysis.checks import check_frame, check_unique
from neuroreg.analysis.distances import ONE_SEED, OVER_SEEDS, sharing_seeds
from neuroreg.analysis.intervals import share
from neuroreg.errors import InputError
from neuroreg.robustness.noise_counts import NoiseCounts

NOISE = "noise counts"  # what messages call the runs


def check_counts(counts: Sequence[NoiseCounts], runs: Sequence[Mapping]) -> None:
    """Check that runs can be compared image by image.

    Parameters
    ----------
    counts
        One per run.
    runs
        For each, model and seed.

    Raises
    ------
    InputError
        If there is no run, a run comes twice, or the runs differ in levels, number of images or draws.
    """
    check_frame(pd.DataFrame(list(runs)), NOISE, ["model"], ["seed"])
    check_unique(pd.DataFrame(list(runs)), NOISE, ["model", "seed"])
    first = counts[0]
    for other, run in zip(counts, runs, strict=True):
        name = f"{NOISE}: model {run['model']}, seed {run['seed']}"
        if not (
            np.array_equal(other.sigma, first.sigma)
            and other.correct.shape == first.correct.shape
            and other.draws == first.draws
        ):
            raise InputError(
                f"{name} has other noise levels, images or draws than the first run; "
                "expected the same in all."
            )


def stack_accuracies(
    counts: Sequence[NoiseCounts], runs: Sequence[Mapping], apart: Collection[str] = ()
) -> list[tuple[tuple[str, ...], np.ndarray, tuple[int, ...]]]:
    """Return the accuracy on each image, those of models that share their seeds together.

    Parameters
    ----------
    counts, runs
        As `check_counts` takes them.
    apart
        Models that share their seeds with no other, see `neuroreg.analysis.distances.sharing_seeds`.

    Returns
    -------
    list of (models, accuracy, seeds)
        Names of C models; float64 (levels, C, S, images), in [0, 1]: the share of draws that are classified
        correctly; S seeds, ascending.
    """
    of_models: dict[str, dict[int, np.ndarray]] = {}
    for count, run in zip(counts, runs, strict=True):
        of_models.setdefault(run["model"], {})[run["seed"]] = count.correct / count.draws
    return [
        (
            models,
            np.stack([np.stack([of_models[m][seed] for seed in seeds], axis=1) for m in models], axis=1),
            seeds,
        )
        for models, seeds in sharing_seeds({model: sorted(own) for model, own in of_models.items()}, apart)
    ]


def noise_curves(
    counts: Sequence[NoiseCounts], runs: Sequence[Mapping], by: str, apart: Collection[str] = ()
) -> pd.DataFrame:
    """Return accuracy against noise per seed, its mean over seeds, and the interval of that.

    Parameters
    ----------
    counts
        One per run.
    runs
        For each, model, seed and `by`.
    by
        What tells the curves apart: model, or another key of which each model has one value.
    apart
        Models that share their seeds with no other, see `neuroreg.analysis.distances.sharing_seeds`.

    Returns
    -------
    pandas.DataFrame
        Columns `by`, level, seed (missing where `level` is ``over seeds``), sigma (standard deviation of the
        noise, pixels in [0, 1]), accuracy (in [0, 1]), low, high (the 95 % interval of
        `neuroreg.analysis.intervals`, of each level by itself; NaN for one seed), sem (sample standard
        deviation over seeds / sqrt(seeds); NaN for one seed), seeds, n (noisy images of one run: test images
        x draws). In the order of the runs.

    Raises
    ------
    InputError
        As `check_counts`.
    """
    check_counts(counts, runs)
    names = {run["model"]: run[by] for run in runs}
    parts = {}
    n = counts[0].correct.shape[1] * counts[0].draws
    for models, accuracy, seeds in stack_accuracies(counts, runs, apart):
        for index, model in enumerate(models):
            interval = share(accuracy, index)
            of_seeds = accuracy[:, index].mean(axis=2).T  # (seeds, levels)
            several = len(seeds) > 1
            sem = of_seeds.std(axis=0, ddof=1) / np.sqrt(len(seeds)) if several else np.nan
            head = {by: names[model], "sigma": counts[0].sigma, "n": n}
            mean = {"level": OVER_SEEDS, "seed": None, "accuracy": of_seeds.mean(axis=0), "seeds": len(seeds)}
            ends = {"low": interval.low, "high": interval.high, "sem": sem}
            gaps = dict.fromkeys(ends, np.nan)
            curves = [pd.DataFrame(head | mean | ends)] + [
                pd.DataFrame(head | {"level": ONE_SEED, "seed": seed, "accuracy": of_seed, "seeds": 1} | gaps)
                for seed, of_seed in zip(seeds, of_seeds, strict=True)
            ]
            parts[model] = pd.concat([curve.astype({"seed": "Int64"}) for curve in curves])
    columns = [by, "level", "seed", "sigma", "accuracy", "low", "high", "sem", "seeds", "n"]
    order = np.argsort(counts[0].sigma, kind="stable")
    levels = len(order)
    table = pd.concat([parts[model] for model in names], ignore_index=True)[columns]
    rows = np.arange(len(table)).reshape(-1, levels)[:, order].ravel()
    return table.iloc[rows].reset_index(drop=True)
