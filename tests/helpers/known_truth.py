"""Made-up results whose true values are known, many studies at once, and how often intervals hold them.

A study has C conditions that share S seeds and N images. A latent value is normal: easier and harder images
(in all conditions and in single ones), better and worse seeds (likewise), and noise. Distances are its
exponential, answers are whether it is above a threshold.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm

from neuroreg.analysis.intervals import Interval, contrast, positive, share, simultaneous
from neuroreg.analysis.linear import linear_means, linear_medians

IMAGE, IMAGE_IN_CONDITION, REST = 1.0, 0.5, 1.0  # standard deviations
SPREAD = 0.4  # of a distance's logarithm, for each standard deviation of the latent value
THRESHOLD = 1.0
SLOPE = "slope of accuracy"
COMPARISONS = ("difference of accuracies", SLOPE, "ratio of means", "ratio of medians")


def latent(
    rng: np.random.Generator,
    studies: int,
    conditions: int,
    seeds: int,
    images: int,
    seed_effect: float,
    shared: float = 0.0,
    growth: float = 1.0,
) -> np.ndarray:
    """Latent values (studies, conditions, seeds, images), of mean 0.

    `seed_effect` is the standard deviation of a seed's mean in units of that which images give a condition's
    mean; the part `shared` of its variance is the same in all conditions; from the first condition to the
    last it grows by the factor `growth`.
    """

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal((studies, *shape))

    size = seed_effect * np.hypot(IMAGE, IMAGE_IN_CONDITION) / np.sqrt(images)
    sizes = size * np.geomspace(1, growth, conditions)[:, None, None]
    values = IMAGE * draw(1, 1, images) + IMAGE_IN_CONDITION * draw(conditions, 1, images)
    values = values + REST * draw(conditions, seeds, images)
    own, alike = np.sqrt(1 - shared) * draw(conditions, seeds, 1), np.sqrt(shared) * draw(1, seeds, 1)
    return values + sizes * (own + alike)


def deviation(images: int, seed_effect: float) -> float:
    """The standard deviation of a latent value over seeds and images."""
    image = np.hypot(IMAGE, IMAGE_IN_CONDITION)
    return float(np.sqrt(image**2 * (1 + seed_effect**2 / images) + REST**2))


def intervals(
    values: np.ndarray, seed_effect: float, gain: float = 0.0
) -> dict[str, tuple[Callable[[], Interval], float]]:
    """Return what gives each kind of interval in every study, and the true value if `gain` is 0.

    `gain` raises the latent values of the last condition by so much and those between in proportion.
    """
    _, conditions, _, images = values.shape
    rank = np.arange(conditions)
    values = values + gain * (rank / rank[-1])[:, None, None]
    first, last = np.eye(conditions)[[0, -1]]
    slope = (rank - rank.mean()) / ((rank - rank.mean()) ** 2).sum()
    sd = deviation(images, seed_effect)
    right = (values > THRESHOLD).astype(float)
    distance = np.exp(SPREAD * values)
    counted = np.ones(distance.shape, bool)

    def of_means(weights: np.ndarray) -> Callable[[], Interval]:
        return lambda: positive(linear_means(distance, counted), weights)

    def of_medians(weights: np.ndarray) -> Callable[[], Interval]:
        return lambda: positive(linear_medians(distance, counted), weights)

    return {
        "accuracy": (lambda: share(right, 0), norm.sf(THRESHOLD / sd)),
        "difference of accuracies": (lambda: contrast(right, last - first), 0.0),
        SLOPE: (lambda: contrast(right, slope), 0.0),
        "mean distance": (of_means(first), np.exp((SPREAD * sd) ** 2 / 2)),
        "ratio of means": (of_means(last - first), 1.0),
        "median distance": (of_medians(first), 1.0),
        "ratio of medians": (of_medians(last - first), 1.0),
    }


def _count(seen: Callable, kinds: Sequence[str], made: dict, among: Sequence[str]) -> dict[str, float]:
    chosen = kinds or [name for name in made if name in among and name != SLOPE]
    return {name: float(seen(made[name][0](), made[name][1]).mean()) for name in chosen}


def coverage(
    rng: np.random.Generator, studies: int, seed_effect: float, kinds: Sequence[str] = (), **shape: float
) -> dict[str, float]:
    """How often each kind of interval holds the true value; all but that of a slope if none is named."""
    made = intervals(latent(rng, studies, seed_effect=seed_effect, **shape), seed_effect)
    return _count(lambda found, truth: (found.low <= truth) & (truth <= found.high), kinds, made, list(made))


def power(
    rng: np.random.Generator,
    studies: int,
    seed_effect: float,
    gain: float,
    kinds: Sequence[str] = (),
    **shape: float,
) -> dict[str, float]:
    """How often the intervals of comparisons lie above no difference where there is one."""
    made = intervals(latent(rng, studies, seed_effect=seed_effect, **shape), seed_effect, gain)
    return _count(lambda found, truth: found.low > truth, kinds, made, COMPARISONS)


def coverage_of_all(
    rng: np.random.Generator, studies: int, levels: int, correlation: float, **shape: float
) -> float:
    """How often the intervals of a difference at several levels hold the truth, 0, all at once."""
    hits = 0
    for study in latent(rng, studies, **shape):
        apart = latent(rng, levels, **shape)
        values = np.sqrt(correlation) * study + np.sqrt(1 - correlation) * apart
        found = simultaneous(values, np.eye(len(study))[0] - np.eye(len(study))[1])
        hits += bool(((found.low <= 0) & (found.high >= 0)).all())
    return hits / studies
