"""Made-up results whose true values are known, many studies at once, and how often intervals hold them.

A study has C conditions that share S seeds and N images. A latent value is normal: easier and harder images
(in all conditions and in single ones), better and worse seeds (likewise), and noise. Distances are its
exponential, or how far it is above what a share of the images misses, which are misclassified then; answers
are whether it is above a threshold.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm

from neuroreg.analysis.intervals import Interval, contrast, positive, share, simultaneous
from neuroreg.analysis.linear import linear_means
from neuroreg.analysis.medians import median

IMAGE, IMAGE_IN_CONDITION, REST = 1.0, 0.5, 1.0  # standard deviations
SPREAD = 0.4  # of a distance's logarithm, for each standard deviation of the latent value
THRESHOLD = 1.0
SLOPE = "slope of accuracy"
COMPARISONS = ("difference of accuracies", SLOPE, "ratio of means")


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

    sizes = deviation_of_seeds(images, seed_effect) * np.geomspace(1, growth, conditions)[:, None, None]
    values = IMAGE * draw(1, 1, images) + IMAGE_IN_CONDITION * draw(conditions, 1, images)
    values = values + REST * draw(conditions, seeds, images)
    own, alike = np.sqrt(1 - shared) * draw(conditions, seeds, 1), np.sqrt(shared) * draw(1, seeds, 1)
    return values + sizes * (own + alike)


def deviation(images: int, seed_effect: float) -> float:
    """The standard deviation of a latent value over seeds and images."""
    image, seed = np.hypot(IMAGE, IMAGE_IN_CONDITION), deviation_of_seeds(images, seed_effect)
    return float(np.sqrt(image**2 + seed**2 + REST**2))


def deviation_of_seeds(images: int, seed_effect: float) -> float:
    """The standard deviation of a seed's effect, in its condition and in all."""
    return float(seed_effect * np.hypot(IMAGE, IMAGE_IN_CONDITION) / np.sqrt(images))


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

    return {
        "accuracy": (lambda: share(right, 0), norm.sf(THRESHOLD / sd)),
        "difference of accuracies": (lambda: contrast(right, last - first), 0.0),
        SLOPE: (lambda: contrast(right, slope), 0.0),
        "mean distance": (of_means(first), np.exp((SPREAD * sd) ** 2 / 2)),
        "ratio of means": (of_means(last - first), 1.0),
        # The mean over seeds of what each one's endless images have in the middle.
        "median distance": (
            lambda: median(distance, counted, 0),
            np.exp((SPREAD * deviation_of_seeds(images, seed_effect)) ** 2 / 2),
        ),
    }


def _hold(found: Interval, truth: float) -> np.ndarray:
    """Return which intervals hold the truth."""
    return (found.low <= truth) & (truth <= found.high)


def misclassifying(values: np.ndarray, seed_effect: float, shares: Sequence[float]) -> np.ndarray:
    """Return distances of latent values (..., C, S, N), of which shares (C,) are misclassified, at 0."""
    sd = deviation(values.shape[-1], seed_effect)
    return np.maximum(values - norm.ppf(shares)[:, None, None] * sd, 0)


def above(limit: float, sd: float) -> float:
    """Return the mean of how far a normal variable of mean 0 is above a limit, below which it counts 0."""
    return float(sd * norm.pdf(limit / sd) - limit * norm.sf(limit / sd)) if sd else max(-limit, 0.0)


def coverage_of_pixels(
    rng: np.random.Generator, studies: int, seed_effect: float, shares: Sequence[float], **shape: float
) -> dict[str, float]:
    """How often medians' intervals hold the truth where distances are few whole numbers, as under L0."""
    values = latent(rng, studies, len(shares), seed_effect=seed_effect, **shape)
    pixels = np.ceil(2 * misclassifying(values, seed_effect, shares))
    middle = deviation_of_seeds(shape["images"], seed_effect) * norm.ppf((np.arange(10**5) + 0.5) / 10**5)
    found = {}
    for index, missed in enumerate(shares):
        limit = norm.ppf(missed) * deviation(shape["images"], seed_effect)
        truth = np.ceil(2 * np.maximum(middle - limit, 0)).mean()
        interval = median(pixels, np.ones(pixels.shape, bool), index)
        found[f"whole median, {missed:.0%} at 0"] = float(_hold(interval, truth).mean())
    return found


def coverage_where_some_are_misclassified(
    rng: np.random.Generator, studies: int, seed_effect: float, shares: Sequence[float], **shape: float
) -> dict[str, float]:
    """How often the intervals of each condition's mean and median hold the truth; by kind and share."""
    values = latent(rng, studies, len(shares), seed_effect=seed_effect, **shape)
    distance = misclassifying(values, seed_effect, shares)
    counted = np.ones(distance.shape, bool)
    sd, of_seeds = deviation(shape["images"], seed_effect), deviation_of_seeds(shape["images"], seed_effect)
    found = {}
    for index, missed in enumerate(shares):
        limit = norm.ppf(missed) * sd
        made = {
            "mean": (positive(linear_means(distance, counted), np.eye(len(shares))[index]), above(limit, sd)),
            # Of a seed's endless images the median is how far the seed itself is above the limit.
            "median": (median(distance, counted, index), above(limit, of_seeds)),
        }
        for kind, (interval, truth) in made.items():
            found[f"{kind}, {missed:.0%} at 0"] = float(_hold(interval, truth).mean())
    return found


def _count(seen: Callable, kinds: Sequence[str], made: dict, among: Sequence[str]) -> dict[str, float]:
    chosen = kinds or [name for name in made if name in among and name != SLOPE]
    return {name: float(seen(made[name][0](), made[name][1]).mean()) for name in chosen}


def coverage(
    rng: np.random.Generator, studies: int, seed_effect: float, kinds: Sequence[str] = (), **shape: float
) -> dict[str, float]:
    """How often each kind of interval holds the true value; all but that of a slope if none is named."""
    made = intervals(latent(rng, studies, seed_effect=seed_effect, **shape), seed_effect)
    return _count(_hold, kinds, made, list(made))


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
