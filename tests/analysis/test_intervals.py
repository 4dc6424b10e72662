import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from neuroreg.analysis.intervals import (
    CLAIM_RESAMPLES,
    FIGURE_RESAMPLES,
    bootstrap_interval,
    draw_counts,
    percentile_interval,
    resampled_means,
    resampled_medians,
    share_interval,
)


def drawn(seeds, samples, resamples, seed=0):
    return draw_counts(seeds, samples, resamples, np.random.default_rng(seed))


def test_the_data_itself_comes_before_the_resamples():
    for counts in drawn(3, 7, 5):
        assert len(counts) == 6
        assert (counts[0] == 1).all()


def test_as_many_are_drawn_as_there_are_each_equally_often():
    seed_counts, sample_counts = drawn(4, 50, 2000)
    assert (seed_counts.sum(axis=1) == 4).all()
    assert (sample_counts.sum(axis=1) == 50).all()
    # A count is binomial: mean 1, variance 1 - 1 / n.
    assert seed_counts.mean(axis=0) == pytest.approx(np.ones(4), abs=4 * np.sqrt(0.75 / 2000))
    assert sample_counts.var(axis=0) == pytest.approx(np.full(50, 0.98), abs=0.25)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 10**6))
def test_means_and_medians_are_those_of_the_drawn_values(seeds, samples, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, (seeds, samples)).astype(float)
    values[rng.random(values.shape) < 0.2] = np.inf
    counted = np.isfinite(values)
    counts = drawn(seeds, samples, 5, seed)
    means, medians = resampled_means(values, counted, *counts), resampled_medians(values, *counts)
    for index, (of_seed, of_sample) in enumerate(zip(*(c.astype(int) for c in counts), strict=True)):
        rows = [np.repeat(row, of_sample) for row in np.repeat(values, of_seed, axis=0)]
        kept = [row[np.isfinite(row)].mean() for row in rows if np.isfinite(row).any()]
        np.testing.assert_allclose(means[index], np.mean(kept) if kept else np.nan)
        assert medians[index] == np.median(rows)


def interval_of_mean(values, chosen, rng):
    counts = draw_counts(*values.shape, FIGURE_RESAMPLES, rng)
    estimate, low, high = percentile_interval(resampled_means(values, chosen & np.isfinite(values), *counts))
    assert low <= estimate <= high
    return low, high


def test_percentile_interval_of_one_seed_is_that_of_a_mean():
    values = np.random.default_rng(4).normal(5, 1, size=(1, 400))
    low, high = interval_of_mean(values, np.ones_like(values, bool), np.random.default_rng(0))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_percentile_interval_resamples_seeds_too():
    values = np.repeat([[0.0], [1.0]], 50, axis=1)  # all of the spread is between seeds
    low, high = interval_of_mean(values, np.ones_like(values, bool), np.random.default_rng(0))
    assert (low, high) == (0, 1)


def test_percentile_interval_against_plain_resampling_with_gaps():
    rng = np.random.default_rng(5)
    values = rng.gamma(2, 1, size=(3, 40))
    values[0, :8] = np.inf
    chosen = rng.random((3, 40)) < 0.8
    low, high = interval_of_mean(values, chosen, np.random.default_rng(0))
    counted = np.where(chosen & np.isfinite(values), values, np.nan)
    means = []
    for _ in range(4000):
        drawn = counted[np.ix_(rng.integers(3, size=3), rng.integers(40, size=40))]
        means.append(np.nanmean(drawn, axis=1).mean())
    np.testing.assert_allclose([low, high], np.percentile(means, [2.5, 97.5]), rtol=0.04)


def test_percentiles_of_nothing_are_gaps():
    assert np.isnan(percentile_interval(np.full(5, np.nan))).all()


def covered(seeds, of_seed, of_sample, of_both, repeats=1000, samples=25):
    """How often the interval holds the true mean, 0; values have effects of seed, sample and their pair."""
    rng = np.random.default_rng(seeds)
    hits = 0
    for _ in range(repeats):
        values = of_seed * rng.standard_normal((seeds, 1)) + of_sample * rng.standard_normal(samples)
        values = values + of_both * rng.standard_normal((seeds, samples))
        means = resampled_means(
            values, np.ones(values.shape, bool), *draw_counts(*values.shape, CLAIM_RESAMPLES, rng)
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
    drawn = draw_counts(3, 6, CLAIM_RESAMPLES, np.random.default_rng(0))
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
