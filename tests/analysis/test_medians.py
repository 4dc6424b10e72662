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
            assert 0 <= found.low <= found.estimate <= found.high


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


def test_where_seeds_differ_by_more_than_images_nothing_bounds_the_median():
    values = np.array([[1.0], [5.0]]) + np.linspace(0, 1, 30)
    found = median(values[None], everything(values[None]), 0)
    assert (found.low, found.estimate, found.high) == (0, 3.5, np.inf)


@pytest.mark.parametrize(("images", "bounds"), [(5, (0, np.inf)), (6, (2, 2))])
def test_so_few_equal_images_bound_nothing(images, bounds):
    """Of five images all are at a value of which .48 of all images are in a fortieth of cases."""
    values = np.full((1, 3, images), 2.0)
    assert median(values, everything(values), 0)[1:3] == bounds


@pytest.mark.parametrize(("images", "bounds"), [(5, (0, np.inf)), (6, (2, 2))])
def test_those_that_do_not_count_tell_nothing_either(images, bounds):
    values = np.full((2, 3, 40), 2.0)
    counted = everything(values)
    counted[0, 1, images:] = False
    assert median(values, counted, 0)[1:3] == bounds
    assert median(values, counted, 1)[1:3] == (2, 2)


def test_a_seed_in_which_nothing_counts_leaves_no_median_and_other_conditions_alone():
    values = np.random.default_rng(3).gamma(2, 1, (2, 3, 40))
    counted = everything(values)
    counted[0, 1] = False
    assert np.isnan(median(values, counted, 0)[:3]).all()
    assert median(values, counted, 1) == median(values[1:], counted[1:], 0)


def test_equal_values_at_the_median_tell_as_much_of_shares_as_others():
    """Of 100 images 70 are at 0: the angle's scale is that of a half, whatever share lies below."""
    values = np.concatenate([np.zeros(70), np.arange(1.0, 31)])[None, None].repeat(3, axis=1)
    found = median(values, everything(values), 0)
    assert found.high == 0  # t * sqrt(1 / 99) / 2 = .0997 above a half, less than .7
    values = np.sort(np.concatenate([np.zeros(58), np.arange(1.0, 43)]))[None, None].repeat(3, axis=1)
    assert median(values, everything(values), 0).high in (1, 2, 3)


def test_without_a_finite_median_or_a_second_seed_there_are_no_bounds():
    for values in (np.full((1, 2, 4), np.inf), np.ones((1, 1, 4))):
        found = median(values, everything(values), 0)
        assert found.estimate == values[0, 0, 0]
        assert np.isnan([found.low, found.high]).all()
    assert np.isnan(median(np.ones((1, 2, 4)), np.zeros((1, 2, 4), bool), 0)[:3]).all()
