"""The paper's claims about accuracy under noise (supplement, Fig. 1; main text), judged image by image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import spearmanr

from neuroreg.analysis.intervals import (
    CLAIM_RESAMPLES,
    Interval,
    bootstrap_interval,
    draw_counts,
    resampled_means,
)
from neuroreg.claims.verdict import Claim, Measured, NotTestable, Region, judge, model_of
from neuroreg.errors import InputError
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.seeds import derive_seed

STRONGEST = 0.1  # of the noise levels in the public descendant of the authors' code
SMALL = 0.05  # our choice: a difference of accuracy that "nearly covers" and "little loss" allow
ABOUT = 0.1  # our choice: how far from 50 % and 20 % accuracy "about" reaches


@dataclass(frozen=True)
class Curves:
    """Accuracy against noise, averaged over seeds and images, in the data and in each resample.

    Attributes
    ----------
    sigma
        float (L,), pixels in [0, 1].
    accuracy
        Model name to float (1 + resamples, L); the first row is the data's, and a row's seeds and images are
        the same in all models.
    seeds, images
        How many there are.
    """

    sigma: np.ndarray
    accuracy: dict[str, np.ndarray]
    seeds: int
    images: int

    def strongest(self) -> int:
        """Return the index of the strongest noise within the paper's range."""
        within = np.flatnonzero((self.sigma > 0) & (self.sigma <= STRONGEST * (1 + 1e-9)))
        if not len(within):
            raise NotTestable(f"noise.sigmas has no level above 0 and up to {STRONGEST}, the paper's range")
        return int(within[self.sigma[within].argmax()])

    def measured(self, interval: Interval, note: str = "") -> Measured:
        """Return `interval` beside the numbers of seeds and images."""
        return Measured(interval, self.seeds, self.images, note)

    def measure(self, statistic: np.ndarray, note: str = "") -> Measured:
        """Return the interval of a statistic with one value per resample."""
        return self.measured(bootstrap_interval(statistic, self.seeds), note)


def resample_curves(
    counts: Sequence[NoiseCounts], runs: Sequence[Mapping], rng: np.random.Generator
) -> Curves:
    """Return the curves of several models, seeds and images resampled jointly.

    Parameters
    ----------
    counts
        One per run, with the same levels, images and draws.
    runs
        For each, model and seed.
    rng
        The random generator.

    Raises
    ------
    InputError
        If the runs differ in levels, number of images or draws, or the models in their seeds.
    """
    what = "noise counts"
    first = counts[0]
    for other, run in zip(counts, runs, strict=True):
        if not (
            np.array_equal(other.sigma, first.sigma)
            and other.correct.shape == first.correct.shape
            and other.draws == first.draws
        ):
            raise InputError(
                f"{what}: model {run['model']}, seed {run['seed']} has other noise levels, images or draws "
                f"than the first run; expected the same in all."
            )
    table = {(run["model"], run["seed"]): other.correct for other, run in zip(counts, runs, strict=True)}
    models, seeds = (list(dict.fromkeys(key[index] for key in table)) for index in (0, 1))
    missing = [key for key in ((model, seed) for model in models for seed in seeds) if key not in table]
    if missing:
        raise InputError(
            f"{what}: model {missing[0][0]} has no seed {missing[0][1]}, which another has; "
            "expected the same seeds for every model."
        )
    images = first.correct.shape[1]
    drawn = draw_counts(len(seeds), images, CLAIM_RESAMPLES, rng)
    accuracy = {}
    for model in models:
        share = np.stack([table[model, seed] for seed in seeds]) / first.draws  # (seeds, levels, images)
        levels = [
            resampled_means(level, np.ones(level.shape, bool), *drawn) for level in share.swapaxes(0, 1)
        ]
        accuracy[model] = np.stack(levels, axis=1)
    return Curves(first.sigma, accuracy, len(seeds), images)


def sweep_claims(counts: Sequence[NoiseCounts], runs: Sequence[Mapping], seed: int) -> list[dict]:
    """Test what the paper says of accuracy under noise and alpha (supplement, Fig. 1).

    Parameters
    ----------
    counts
        One per run.
    runs
        For each, model, seed and alpha; one model per alpha.
    seed
        Decides the bootstrap.

    Returns
    -------
    list of dict
        Rows as of `judge`.

    Raises
    ------
    InputError
        As `resample_curves`.
    """
    curves = resample_curves(counts, runs, np.random.default_rng(derive_seed(seed, "claims", "sweep")))
    models = dict(sorted({run["alpha"]: run["model"] for run in runs}.items()))
    rises = Claim(
        "noise_rises_with_alpha",
        "Accuracy under noise rises with alpha.",
        "slope of accuracy over the rank of alpha, at the strongest noise of the paper's range",
        Region(low=0),
        "rises continuously",
    )
    covers = Claim(
        "alpha_2_covers_alpha_0",
        "The curve of alpha = 2 nearly covers that of alpha = 0.",
        "largest absolute difference of the two mean curves within the paper's range of noise",
        Region(high=SMALL),
        "nearly covers",
    )
    return [
        judge(rises, partial(_slope, curves, models)),
        judge(covers, partial(_largest_difference, curves, models)),
    ]


def _slope(curves: Curves, models: Mapping[float, str]) -> Measured:
    if len(models) < 3:
        raise NotTestable(
            f"{len(models)} values of alpha in sweep.models; a course over alpha takes at least 3"
        )
    level = curves.strongest()
    accuracy = np.stack([curves.accuracy[model][:, level] for model in models.values()], axis=1)
    rank = np.arange(len(models)) - (len(models) - 1) / 2
    order = spearmanr(list(models), accuracy[0]).statistic if np.ptp(accuracy[0]) > 0 else np.nan
    alphas = ", ".join(f"{alpha:g}" for alpha in models)
    note = f"at sigma {curves.sigma[level]:g}; alpha {alphas}; Spearman's rho of the means {order:.2f}"
    return curves.measure(accuracy @ rank / (rank @ rank), note)


def _largest_difference(curves: Curves, models: Mapping[float, str]) -> Measured:
    for alpha in (0, 2):
        if alpha not in models:
            raise NotTestable(f"no model with alpha {alpha} in sweep.models")
    curves.strongest()  # without noise there is no curve
    within = curves.sigma <= STRONGEST * (1 + 1e-9)
    difference = (curves.accuracy[models[2]] - curves.accuracy[models[0]])[:, within]
    # The largest of several absolute values is no smooth function of the data, so each level has its own
    # interval: all of them must lie within the margin, or one beyond it.
    levels = np.array([bootstrap_interval(level, curves.seeds) for level in difference.T])
    estimate, low, high = levels.T
    nearest = np.where((low < 0) & (high > 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    farthest = np.maximum(np.abs(low), np.abs(high))
    if np.isnan(low).any():
        nearest = farthest = np.array([np.nan])
    largest = np.abs(estimate).argmax()
    found = Interval(float(np.abs(estimate[largest])), float(nearest.max()), float(farthest.max()))
    return curves.measured(
        found, f"largest at sigma {curves.sigma[within][largest]:g}; the margin is our choice"
    )


def condition_claims(
    counts: Sequence[NoiseCounts], runs: Sequence[Mapping], conditions: Mapping[str, str], seed: int
) -> list[dict]:
    """Test what the paper says of None, Shuffle and Neural under noise (main text).

    Parameters
    ----------
    counts
        One per run.
    runs
        For each, model and seed.
    conditions
        None, Shuffle and Neural, as far as there are such models, to model name.
    seed
        Decides the bootstrap.

    Returns
    -------
    list of dict
        Rows as of `judge`.

    Raises
    ------
    InputError
        As `resample_curves`.
    """
    curves = resample_curves(counts, runs, np.random.default_rng(derive_seed(seed, "claims", "conditions")))
    clean = Claim(
        "little_loss_on_clean",
        "The neural regulariser costs little accuracy on clean images.",
        "accuracy of None minus that of Neural without noise",
        Region(high=SMALL),
        "small",
    )
    return [
        *_order_claims(curves, conditions),
        judge(clean, partial(_clean_loss, curves, conditions)),
        *_level_claims(curves, conditions),
    ]


def _order_claims(curves: Curves, conditions: Mapping[str, str]) -> Iterator[dict]:
    """Yield the rows on which of two conditions is more accurate under noise."""
    above, order = Region(low=0), "Neural above Shuffle above None"
    for better, worse in (("Neural", "Shuffle"), ("Shuffle", "None"), ("Neural", "None")):
        name = f"{better}_above_{worse}".lower()
        sentence = f"{better} is more accurate than {worse} under noise."
        mean = "difference of accuracy, mean over all levels of noise above 0"
        claim = Claim(f"{name}_mean", sentence, mean, above, order)
        yield judge(claim, partial(_mean_difference, curves, conditions, better, worse))
        strongest = "difference of accuracy at the strongest noise of the paper's range"
        paper = "about 0.5 - 0.2" if (better, worse) == ("Neural", "None") else order
        claim = Claim(f"{name}_strongest", sentence, strongest, above, paper)
        yield judge(claim, partial(_strongest_difference, curves, conditions, better, worse))


def _level_claims(curves: Curves, conditions: Mapping[str, str]) -> Iterator[dict]:
    """Yield the rows on how accurate a condition is at the strongest noise."""
    for condition, accuracy in (("Neural", 0.5), ("None", 0.2)):
        claim = Claim(
            f"{condition.lower()}_at_strongest",
            f"At the strongest noise {condition} keeps about {100 * accuracy:.0f} % accuracy.",
            f"accuracy of {condition} at the strongest noise of the paper's range",
            Region(accuracy - ABOUT, accuracy + ABOUT),
            f"about {accuracy}",
        )
        yield judge(claim, partial(_strongest_accuracy, curves, conditions, condition))


def _of(curves: Curves, conditions: Mapping[str, str], name: str) -> np.ndarray:
    return curves.accuracy[model_of(conditions, name)]


def _difference(curves: Curves, conditions: Mapping[str, str], better: str, worse: str) -> np.ndarray:
    return _of(curves, conditions, better) - _of(curves, conditions, worse)


def _mean_difference(curves: Curves, conditions: Mapping[str, str], better: str, worse: str) -> Measured:
    noisy = curves.sigma > 0
    difference = _difference(curves, conditions, better, worse)[:, noisy]
    if not noisy.any():
        raise NotTestable("noise.sigmas has no level above 0")
    levels = curves.sigma[noisy]
    note = f"sigma {', '.join(f'{level:g}' for level in levels)}"
    return curves.measure(difference.mean(axis=1), note)


def _strongest_difference(curves: Curves, conditions: Mapping[str, str], better: str, worse: str) -> Measured:
    difference, level = _difference(curves, conditions, better, worse), curves.strongest()
    return curves.measure(difference[:, level], f"at sigma {curves.sigma[level]:g}")


def _clean_loss(curves: Curves, conditions: Mapping[str, str]) -> Measured:
    loss = _difference(curves, conditions, "None", "Neural")
    clean = np.flatnonzero(curves.sigma == 0)
    if not len(clean):
        raise NotTestable("noise.sigmas has no level 0")
    return curves.measure(loss[:, clean[0]], "the margin is our choice")


def _strongest_accuracy(curves: Curves, conditions: Mapping[str, str], name: str) -> Measured:
    accuracy, level = _of(curves, conditions, name), curves.strongest()
    note = f"at sigma {curves.sigma[level]:g}; the range that counts as about is our choice"
    return curves.measure(accuracy[:, level], note)
