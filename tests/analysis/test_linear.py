import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.analysis.linear import linear_logarithms, linear_means, linear_medians


@given(st.integers(1, 3), st.integers(2, 9), st.integers(0, 10**6))
def test_means_over_images_are_the_statistics(seeds, images, seed):
    rng = np.random.default_rng(seed)
    values, counted = rng.gamma(2, 1, (2, seeds, images)), rng.random((2, seeds, images)) < 0.7
    counted[..., 0] = True
    spoilt = np.where(counted, values, np.inf)
    some = np.where(counted, values, np.nan)
    np.testing.assert_allclose(linear_means(spoilt, counted).mean(axis=-1), np.nanmean(some, axis=-1))
    np.testing.assert_allclose(linear_medians(spoilt, counted).mean(axis=-1), np.nanmedian(some, axis=-1))
    logarithms = linear_logarithms(values).mean(axis=(-1, -2))
    np.testing.assert_allclose(logarithms, np.log(values.mean(axis=(-1, -2))))


def test_a_mean_over_some_images_varies_as_a_ratio_of_sums_does():
    rng = np.random.default_rng(0)
    values, counted = rng.gamma(2, 1, (4000, 1, 60)), rng.random((4000, 1, 60)) < 0.6
    linear = linear_means(values, counted)
    estimated = linear.var(axis=-1, ddof=1) / 60
    assert estimated.mean() == pytest.approx(linear.mean(axis=-1).var(), rel=0.06)


@pytest.mark.parametrize("images", [200, 801])
def test_a_median_varies_as_resampling_says(images):
    rng = np.random.default_rng(1)
    values = rng.lognormal(0, 0.7, (2000, 1, images))
    linear = linear_medians(values, np.ones(values.shape, bool))
    estimated = linear.var(axis=-1, ddof=1) / images
    assert estimated.mean() == pytest.approx(np.median(values, axis=-1).var(), rel=0.12)


def test_infinite_distances_are_the_largest_and_a_median_that_is_none_is_a_gap():
    values = np.concatenate([np.arange(1.0, 9.0), [np.inf]])[None, None]
    counted = np.ones(values.shape, bool)
    assert linear_medians(values, counted).mean() == pytest.approx(5)
    assert np.isnan(linear_medians(np.full((1, 2, 4), np.inf), np.ones((1, 2, 4), bool))).all()
    assert np.isnan(linear_medians(np.zeros((1, 2, 4)), np.ones((1, 2, 4), bool))).all()
    assert np.isnan(linear_means(values, np.zeros(values.shape, bool))).all()
