"""Accuracy under noise, as measured by `neuroreg.robustness.noise`, averaged over seeds."""

import pandas as pd

from neuroreg.analysis.checks import check_frame, check_unique
from neuroreg.analysis.distances import ONE_SEED, OVER_SEEDS
from neuroreg.errors import InputError

NOISE = "noise accuracies"  # what messages call the frame


def noise_curves(noise: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return accuracy against noise per seed, and its mean and SEM over seeds.

    Parameters
    ----------
    noise
        Columns `by`, seed, sigma (standard deviation of the noise, pixels in [0, 1]), accuracy (in [0, 1]),
        n (noisy images: test images x draws).
    by
        The column that tells the curves apart.

    Returns
    -------
    pandas.DataFrame
        Columns `by`, level, seed (missing where `level` is ``over seeds``), sigma, accuracy, sem (sample
        standard deviation over seeds / sqrt(seeds); NaN for one seed), seeds, n (noisy images of one run).

    Raises
    ------
    InputError
        If a column is missing, the frame is empty, a value is out of range, a row comes twice, or a seed
        lacks a noise level that another seed of its curve has.
    """
    check_frame(noise, NOISE, [by], ["seed", "sigma", "accuracy", "n"])
    if not noise["accuracy"].between(0, 1).all():
        raise InputError(
            f"{NOISE}: accuracy ranges from {noise['accuracy'].min()} to {noise['accuracy'].max()}; "
            "expected values in [0, 1]."
        )
    if (noise["sigma"] < 0).any():
        raise InputError(f"{NOISE}: sigma is {noise['sigma'].min()}; expected values of 0 or more.")
    check_unique(noise, NOISE, [by, "seed", "sigma"])
    for name, curve in noise.groupby(by):
        if len(curve) != curve["seed"].nunique() * curve["sigma"].nunique():
            raise InputError(
                f"{NOISE}: the seeds of {by} {name} differ in their sigma; expected the same in all."
            )
    columns = [by, "level", "seed", "sigma", "accuracy", "sem", "seeds", "n"]
    runs = noise.assign(level=ONE_SEED, sem=float("nan"), seeds=1)[columns]
    groups = noise.groupby([by, "sigma"], sort=False)
    means = groups.agg(
        accuracy=("accuracy", "mean"), sem=("accuracy", "sem"), seeds=("seed", "size"), n=("n", "min")
    ).reset_index()
    means = means.assign(level=OVER_SEEDS, seed=pd.NA)[columns]
    kinds = {"seed": "Int64", "sem": "float64"}
    curves = pd.concat([means.astype(kinds), runs.astype(kinds)], ignore_index=True)
    rank = curves[by].map({name: index for index, name in enumerate(dict.fromkeys(noise[by]))})
    # OVER_SEEDS sorts behind ONE_SEED; the mean comes first in the file.
    curves = curves.assign(rank=rank, single=curves["level"] == ONE_SEED)
    curves = curves.sort_values(["rank", "single", "seed", "sigma"])
    return curves[columns].reset_index(drop=True)
