"""The paper's claims about accuracy under noise (supplement, Fig. 1; main text), judged image by image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.stats import page_trend_test

from neuroreg.analysis.intervals import Interval, contrast, share, simultaneous, simultaneous_contrasts
from neuroreg.analysis.noise import NOISE, check_counts, stack_accuracies
from neuroreg.claims.verdict import (
    FIG_1,
    Claim,
    Measured,
    NotTestable,
    Region,
    judge,
    model_of,
    require_cifar10,
)
from neuroreg.claims.verdict import NOISE as MAIN_TEXT
from neuroreg.errors import InputError
from neuroreg.robustness.noise_counts import NoiseCounts

STRONGEST = 0.1  # of the noise levels in the public descendant of the authors' code
AT_STRONGEST = f"the strongest noise up to {STRONGEST}"
SMALL = 0.05  # our choice: a difference of accuracy that "nearly covers", "little loss", "continuously" allow
ABOUT = 0.1  # our choice: how far from 50 % and 20 % accuracy "about" reaches


@dataclass(frozen=True)
class Curves:
    """Accuracy against noise of models that share seeds and images.

    Attributes
    ----------
    sigma
        float (L,), pixels in [0, 1].
    accuracy
        float64 (L, models, seeds, images), in [0, 1].
    models
        Names.
    """

    sigma: np.ndarray
    accuracy: np.ndarray
    models: tuple[str, ...]

    def strongest(self) -> int:
        """Return the index of the strongest noise up to STRONGEST."""
        within = np.flatnonzero((self.sigma > 0) & (self.sigma <= STRONGEST * (1 + 1e-9)))
        if not len(within):
            raise NotTestable(f"noise.sigmas has no level above 0 and up to {STRONGEST}")
        return int(within[self.sigma[within].argmax()])

    def weights(self, of_models: Mapping[str, float]) -> np.ndarray:
        """Return (models,), the weight of each, 0 for those not named."""
        return np.array([float(of_models.get(model, 0)) for model in self.models])

    def measured(self, interval: Interval, note: str = "") -> Measured:
        """Return `interval` beside the numbers of seeds and images."""
        return Measured(interval, *self.accuracy.shape[2:], note)  # type: ignore[call-arg]

    def measure(self, values: np.ndarray, weights: np.ndarray, note: str = "") -> Measured:
        """Return the interval of a weighted sum of accuracies, for values (models, seeds, images).

        It is cut where no such sum can lie.
        """
        estimate, low, high, freedom = contrast(values, weights)
        least, most = weights[weights < 0].sum(), weights[weights > 0].sum()
        low, high = (float(np.clip(bound, least, most)) for bound in (low, high))
        return self.measured(Interval(float(estimate), low, high, float(freedom)), note)


def _curves(counts: Sequence[NoiseCounts], runs: Sequence[Mapping]) -> Curves:
    check_counts(counts, runs)
    groups = stack_accuracies(counts, runs)
    if len(groups) > 1:
        (_, _, these), ((model, *_), _, those) = groups[0], groups[1]
        absent = sorted(set(these) ^ set(those))[0]
        lacking = model if absent in these else groups[0][0][0]
        raise InputError(
            f"{NOISE}: model {lacking} has no seed {absent}, which another has; "
            "expected the same seeds for every model."
        )
    models, accuracy, _ = groups[0]
    return Curves(counts[0].sigma, accuracy, models)


def sweep_claims(counts: Sequence[NoiseCounts], runs: Sequence[Mapping]) -> list[dict]:
    """Test what the paper says of accuracy under noise and alpha (supplement, Fig. 1).

    Parameters
    ----------
    counts
        One per run.
    runs
        For each, model, seed and alpha; one model per alpha.

    Returns
    -------
    list of dict
        Rows as of `judge`.

    Raises
    ------
    InputError
        As `check_counts`, or if the models differ in their seeds.
    """
    curves = _curves(counts, runs)
    models = dict(sorted({run["alpha"]: run["model"] for run in runs}.items()))
    rises = Claim(
        "noise_rises_with_alpha",
        "Accuracy under noise rises with alpha.",
        f"slope of accuracy over the rank of alpha, at {AT_STRONGEST}",
        Region(low=0),
        "rises",
        FIG_1,
    )
    steadily = Claim(
        "noise_rises_continuously",
        "Accuracy under noise falls from no alpha to the next.",
        f"smallest difference of accuracy from one alpha to the next, at {AT_STRONGEST}",
        Region(low=-SMALL),
        "rises continuously",
        FIG_1,
    )
    covers = Claim(
        "alpha_2_covers_alpha_0",
        "The curve of alpha = 2 nearly covers that of alpha = 0.",
        f"largest absolute difference of the two mean curves, noise up to {STRONGEST}",
        Region(high=SMALL),
        "nearly covers",
        FIG_1,
    )
    return [
        judge(rises, partial(_slope, curves, models)),
        judge(steadily, partial(_smallest_step, curves, models)),
        judge(covers, partial(_largest_difference, curves, models)),
    ]


def _course(curves: Curves, models: Mapping[float, str]) -> int:
    """Return the level at which a course over alpha is judged.

    Raises
    ------
    NotTestable
        If there are fewer than three values of alpha.
    """
    if len(models) < 3:
        raise NotTestable(
            f"{len(models)} values of alpha in sweep.models; a course over alpha takes at least 3"
        )
    return curves.strongest()


def _smallest_step(curves: Curves, models: Mapping[float, str]) -> Measured:
    """Return the smallest difference of neighbours, its interval counting that it is the smallest of many."""
    level = _course(curves, models)
    weights = [curves.weights({after: 1, before: -1}) for before, after in pairwise(models.values())]
    steps = simultaneous_contrasts(curves.accuracy[level], np.stack(weights))
    low, high = steps.low.clip(-1, 1), steps.high.clip(-1, 1)
    smallest = int(steps.estimate.argmin())
    found = Interval(
        float(steps.estimate[smallest]),
        float(low.min()),
        float(high.min()),
        float(steps.freedom[smallest]),
    )
    before, after = list(models)[smallest : smallest + 2]
    return curves.measured(
        found,
        f"at sigma {curves.sigma[level]:g}; smallest from alpha {before:g} to {after:g}; the interval "
        f"counts that it is the smallest of {len(models) - 1}; the margin is our choice",
    )


def _slope(curves: Curves, models: Mapping[float, str]) -> Measured:
    level = _course(curves, models)
    rank = np.arange(len(models)) - (len(models) - 1) / 2
    weights = curves.weights(dict(zip(models.values(), rank / (rank @ rank), strict=True)))
    alphas = ", ".join(f"{alpha:g}" for alpha in models)
    note = f"at sigma {curves.sigma[level]:g}; alpha {alphas}"
    accuracy = curves.accuracy[level]
    if accuracy.shape[1] > 1:
        table = np.stack([accuracy[curves.models.index(model)].mean(axis=1) for model in models.values()])
        page = page_trend_test(table.T)
        note += f"; Page's test of a rise in each seed: p = {page.pvalue:.2g} ({page.method})"
    return curves.measure(accuracy, weights, note)


def _largest_difference(curves: Curves, models: Mapping[float, str]) -> Measured:
    for alpha in (0, 2):
        if alpha not in models:
            raise NotTestable(f"no model with alpha {alpha} in sweep.models")
    curves.strongest()  # without noise there is no curve
    within = curves.sigma <= STRONGEST * (1 + 1e-9)
    # The largest of several absolute values is no smooth function of the data, so each level has its own
    # interval, all of which hold at once: all must lie within the margin, or one beyond it.
    levels = simultaneous(curves.accuracy[within], curves.weights({models[2]: 1, models[0]: -1}))
    estimate, low, high = levels.estimate, levels.low.clip(-1, 1), levels.high.clip(-1, 1)
    nearest = np.where((low < 0) & (high > 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    farthest = np.maximum(np.abs(low), np.abs(high))
    largest = np.abs(estimate).argmax()
    found = Interval(
        float(np.abs(estimate[largest])),
        float(nearest.max()),
        float(farthest.max()),
        float(levels.freedom[largest]),
    )
    return curves.measured(
        found,
        f"largest at sigma {curves.sigma[within][largest]:g}; the interval counts that it is the largest of "
        f"{within.sum()} levels; the margin is our choice",
    )


def condition_claims(
    counts: Sequence[NoiseCounts],
    runs: Sequence[Mapping],
    conditions: Mapping[str, str],
    classified: str = "cifar10",
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
    classified
        What images are classified, see `require_cifar10`.

    Returns
    -------
    list of dict
        Rows as of `judge`.

    Raises
    ------
    InputError
        As `sweep_claims`.
    """
    curves = _curves(counts, runs)
    clean = Claim(
        "little_loss_on_clean",
        "The neural regulariser costs little accuracy on clean images.",
        "accuracy of None minus that of Neural without noise",
        Region(high=SMALL),
        "preserved",
        MAIN_TEXT,
    )
    return [
        *_order_claims(curves, conditions),
        judge(clean, partial(_clean_loss, curves, conditions)),
        *_level_claims(curves, conditions, classified),
    ]


def _order_claims(curves: Curves, conditions: Mapping[str, str]) -> Iterator[dict]:
    """Yield the rows on which of two conditions is more accurate under noise."""
    above, substantial = Region(low=0), "substantially higher"
    for better, worse in (("Neural", "Shuffle"), ("Neural", "None")):
        name = f"{better}_above_{worse}".lower()
        sentence = f"{better} is more accurate than {worse} under noise."
        mean = "difference of accuracy, mean over all levels of noise above 0"
        claim = Claim(f"{name}_mean", sentence, mean, above, substantial, MAIN_TEXT)
        yield judge(claim, partial(_mean_difference, curves, conditions, better, worse))
        strongest = f"difference of accuracy at {AT_STRONGEST}"
        paper = "about 0.5 - 0.2" if worse == "None" else substantial
        claim = Claim(f"{name}_strongest", sentence, strongest, above, paper, MAIN_TEXT)
        yield judge(claim, partial(_strongest_difference, curves, conditions, better, worse))


def _level_claims(curves: Curves, conditions: Mapping[str, str], classified: str) -> Iterator[dict]:
    """Yield the rows on how accurate a condition is at the strongest noise."""
    for condition, accuracy in (("Neural", 0.5), ("None", 0.2)):
        claim = Claim(
            f"{condition.lower()}_at_strongest",
            f"At the strongest noise {condition} keeps about {100 * accuracy:.0f} % accuracy.",
            f"accuracy of {condition} at {AT_STRONGEST}",
            Region(accuracy - ABOUT, accuracy + ABOUT),
            f"about {accuracy}",
            MAIN_TEXT,
        )
        yield judge(claim, partial(_strongest_accuracy, curves, conditions, condition, classified))


def _difference(curves: Curves, conditions: Mapping[str, str], better: str, worse: str) -> np.ndarray:
    """Return the weights of a difference of two conditions."""
    plus, minus = model_of(conditions, better), model_of(conditions, worse)
    return curves.weights({plus: 1}) - curves.weights({minus: 1})


def _mean_difference(curves: Curves, conditions: Mapping[str, str], better: str, worse: str) -> Measured:
    weights = _difference(curves, conditions, better, worse)
    noisy = curves.sigma > 0
    if not noisy.any():
        raise NotTestable("noise.sigmas has no level above 0")
    note = f"sigma {', '.join(f'{level:g}' for level in curves.sigma[noisy])}"
    return curves.measure(curves.accuracy[noisy].mean(axis=0), weights, note)


def _strongest_difference(curves: Curves, conditions: Mapping[str, str], better: str, worse: str) -> Measured:
    weights, level = _difference(curves, conditions, better, worse), curves.strongest()
    return curves.measure(curves.accuracy[level], weights, f"at sigma {curves.sigma[level]:g}")


def _clean_loss(curves: Curves, conditions: Mapping[str, str]) -> Measured:
    weights = _difference(curves, conditions, "None", "Neural")
    clean = np.flatnonzero(curves.sigma == 0)
    if not len(clean):
        raise NotTestable("noise.sigmas has no level 0")
    return curves.measure(curves.accuracy[clean[0]], weights, "the margin is our choice")


def _strongest_accuracy(
    curves: Curves, conditions: Mapping[str, str], name: str, classified: str
) -> Measured:
    require_cifar10(classified)
    model, level = model_of(conditions, name), curves.strongest()
    note = f"at sigma {curves.sigma[level]:g}; the range that counts as about is our choice"
    return curves.measured(share(curves.accuracy[level], curves.models.index(model)), note)
