import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import quantile_test

from neuroreg.analysis.medians import median


def everything(values):
    return np.ones(values.shape, bool)


@given(st.integers(1, 3), st.integers(2, 4), st.integers(2, 9), st.integers(0, 10**6))
def test_the_estimate_is_the_mean_of_the_seeds_medians_and_lies_within(conditions, seeds, images, seed):
    rng = np.random.default_rng(seed)
    values = rng.choice(
        [0.0, 0.5, 1.0, 2.0, np.inf], (conditions, seeds, images), p=[0.3, 0.2, 0.2, 0.2, 0.1]
    )
    counted = rng.random(values.shape) < 0.8
    counted[..., 0] = True
    for condition in range(conditions):
        found = median(np.where(counted, values, -7.0), counted, condition)
        some = [row[own] for row, own in zip(values[condition], counted[condition], strict=True)]
        assert found.estimate == np.mean([np.median(row) for row in some])
        if np.isfinite(found.estimate) and not np.isnan(found.low):
            assert values[condition].min() <= found.low <= found.estimate <= found.high


@pytest.mark.parametrize("images", [40, 100, 400])
def test_without_differences_between_seeds_it_is_that_of_order_statistics(images):
    """SciPy's is exact, of binomial probabilities; ours may differ by a rank at either end."""
    values = np.random.default_rng(images).lognormal(0, 1, images)
    found = median(np.stack([[values] * 3] * 2), np.ones((2, 3, images), bool), 1)
    exact = quantile_test(values, p=0.5).confidence_interval(0.95)
    ordered = np.sort(values)
    ranks = [np.searchsorted(ordered, [ours, scipys]) for ours, scipys in zip(found[1:3], exact, strict=True)]
    assert max(abs(ours - scipys) for ours, scipys in ranks) <= 1


@pytest.mark.parametrize("change", [lambda x: 3 * x, lambda x: np.where(x > 2.5, 100 * x, x)])
def test_only_the_order_and_the_quantiles_matter(change):
    values = np.random.default_rng(0).gamma(2, 1, (2, 3, 50))
    plain, changed = (median(v, everything(v), 0) for v in (values, change(values)))
    assert plain.high < 2.5
    assert changed[:3] == pytest.approx(tuple(change(np.array(plain[:3]))))


def test_studies_side_by_side_are_those_alone():
    rng = np.random.default_rng(1)
    values, counted = rng.gamma(2, 1, (5, 2, 3, 30)), rng.random((5, 2, 3, 30)) < 0.7
    together = median(values, counted, 1)
    for study, (own, its) in enumerate(zip(values, counted, strict=True)):
        assert [part[study] for part in together] == pytest.approx(list(median(own, its, 1)))


def test_misclassified_images_reach_down_to_0_and_missing_adversarials_up_to_infinity():
    rng = np.random.default_rng(2)
    values = np.where(rng.random((2, 3, 60)) < 0.45, 0.0, rng.gamma(2, 1, (2, 3, 60)))
    found = median(values, everything(values), 0)
    assert 0 == found.low < found.estimate < found.high < np.inf
    values = np.where(values == 0, np.inf, values)
    found = median(values, everything(values), 0)
    assert 0 < found.low < found.estimate < found.high == np.inf


def test_a_median_of_0_has_an_upper_bound():
    values = np.zeros((1, 3, 21))
    values[..., :10] = np.arange(1, 11)
    found = median(values, everything(values), 0)
    assert (found.estimate, found.low) == (0, 0)
    assert found.high > 0


def test_of_equal_values_the_median_may_be_the_largest():
    """L0 counts pixels: the share at or below the largest is 1, and tells of no spread."""
    values = np.repeat([1.0, 2.0], [9, 11])[None, None].repeat(3, axis=1)
    found = median(values, everything(values), 0)
    assert (found.low, found.estimate, found.high) == (1, 2, 2)


def test_without_a_finite_median_or_a_second_seed_there_are_no_bounds():
    for values in (np.full((1, 2, 4), np.inf), np.ones((1, 1, 4))):
        found = median(values, everything(values), 0)
        assert found.estimate == values[0, 0, 0]
        assert np.isnan([found.low, found.high]).all()
    assert np.isnan(median(np.ones((1, 2, 4)), np.zeros((1, 2, 4), bool), 0)[:3]).all()
