import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.analysis.linear import linear_logarithms, linear_means


@given(st.integers(1, 3), st.integers(2, 9), st.integers(0, 10**6))
def test_means_over_images_are_the_statistics(seeds, images, seed):
    rng = np.random.default_rng(seed)
    values, counted = rng.gamma(2, 1, (2, seeds, images)), rng.random((2, seeds, images)) < 0.7
    counted[..., 0] = True
    spoilt = np.where(counted, values, np.inf)
    some = np.where(counted, values, np.nan)
    np.testing.assert_allclose(linear_means(spoilt, counted).mean(axis=-1), np.nanmean(some, axis=-1))
    logarithms = linear_logarithms(values).mean(axis=(-1, -2))
    np.testing.assert_allclose(logarithms, np.log(values.mean(axis=(-1, -2))))


def test_a_mean_over_some_images_varies_as_a_ratio_of_sums_does():
    rng = np.random.default_rng(0)
    values, counted = rng.gamma(2, 1, (4000, 1, 60)), rng.random((4000, 1, 60)) < 0.6
    linear = linear_means(values, counted)
    estimated = linear.var(axis=-1, ddof=1) / 60
    assert estimated.mean() == pytest.approx(linear.mean(axis=-1).var(), rel=0.06)


def test_nothing_that_counts_has_no_mean():
    values = np.concatenate([np.arange(1.0, 9.0), [np.inf]])[None, None]
    assert np.isnan(linear_means(values, np.zeros(values.shape, bool))).all()
