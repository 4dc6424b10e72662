import numpy as np
import pytest
from scipy.stats import binomtest

from neuroreg.analysis.intervals import (
    RESAMPLES,
    bootstrap_interval,
    draw_with_original,
    resampled_means,
    share_interval,
)


def covered(seeds, of_seed, of_sample, of_both, repeats=1000, samples=25):
    """How often the interval holds the true mean, 0; values have effects of seed, sample and their pair."""
    rng = np.random.default_rng(seeds)
    hits = 0
    for _ in range(repeats):
        values = of_seed * rng.standard_normal((seeds, 1)) + of_sample * rng.standard_normal(samples)
        values = values + of_both * rng.standard_normal((seeds, samples))
        means = resampled_means(
            values, np.ones(values.shape, bool), *draw_with_original(*values.shape, RESAMPLES, rng)
        )
        _, low, high = bootstrap_interval(means, seeds)
        hits += low <= 0 <= high
    return hits / repeats


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_covers_as_often_as_it_says_where_seeds_differ(seeds):
    # Four standard errors of 1,000 trials about 0.95. Percentiles of three seeds would cover 0.75.
    assert covered(seeds, of_seed=1.0, of_sample=0.02, of_both=0.02) == pytest.approx(0.95, abs=0.028)


@pytest.mark.parametrize("seeds", [2, 5])
@pytest.mark.parametrize("of_seed", [0.0, 0.3])
def test_the_interval_covers_no_less_where_samples_differ_too(seeds, of_seed):
    assert covered(seeds, of_seed, of_sample=1.0, of_both=1.0) > 0.95 - 0.028


def test_the_interval_is_students_where_only_seeds_differ():
    # Student's interval of 1, 2, 4: mean 7/3, standard error sqrt(7/9), t 4.3027.
    values = np.repeat([[1.0], [2.0], [4.0]], 6, axis=1)
    drawn = draw_with_original(3, 6, RESAMPLES, np.random.default_rng(0))
    interval = bootstrap_interval(resampled_means(values, np.ones((3, 6), bool), *drawn), 3)
    assert interval.estimate == pytest.approx(7 / 3)
    reach = 4.3027 * np.sqrt(7) / 3
    # The standard deviation of 1,000 resamples is within some percent of its own expectation.
    assert interval.high - interval.estimate == pytest.approx(reach, rel=0.1)
    assert interval.estimate - interval.low == pytest.approx(interval.high - interval.estimate)


def test_one_seed_or_an_infinite_value_gives_no_interval():
    for statistic, seeds in ((np.array([1.0, 1.0, 2.0]), 1), (np.array([1.0, 2.0, np.inf]), 3)):
        interval = bootstrap_interval(statistic, seeds)
        assert interval.estimate == 1
        assert np.isnan([interval.low, interval.high]).all()


@pytest.mark.parametrize(("hits", "n"), [(0, 3), (1, 7), (6, 6), (14, 15), (7, 30)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(hits, n):
    expected = binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert share_interval(hits / n, n)[1:] == pytest.approx((expected.low, expected.high))


def test_half_an_observation_lies_between_whole_ones():
    lows = [share_interval(1.0, n).low for n in (7, 7.5, 8)]
    assert lows == sorted(lows)
