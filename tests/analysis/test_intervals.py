import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.analysis.intervals import draw_counts, resampled_means, resampled_medians


def drawn(seeds, samples, resamples, seed=0):
    return draw_counts(seeds, samples, resamples, np.random.default_rng(seed))


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
