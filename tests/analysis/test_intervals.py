import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from neuroreg.analysis.intervals import (
    contrast,
    positive,
    share,
    share_interval,
    simultaneous,
    simultaneous_contrasts,
)

DIFFERENCE = np.array([1.0, -1.0])


def of_seeds(table, images=4):
    """Values (C, S, N) that all images of a seed share."""
    return np.repeat(np.asarray(table, dtype=float)[..., None], images, axis=-1)


def test_two_conditions_that_differ_by_seed_alone_give_the_paired_t_interval():
    first, second = [0.3, 0.5, 0.35, 0.6], [0.2, 0.45, 0.4, 0.41]
    found = contrast(of_seeds([first, second]), DIFFERENCE)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found[1:3] == pytest.approx(expected)
    assert found.freedom == pytest.approx(3)


def test_one_condition_that_differs_by_seed_alone_gives_students_interval():
    found = contrast(of_seeds([[1, 2, 4]]), np.array([1.0]))
    reach = 4.3027 * np.sqrt(7) / 3
    assert found[:3] == pytest.approx((7 / 3, 7 / 3 - reach, 7 / 3 + reach), rel=1e-4)


def test_images_that_are_alike_in_all_seeds_give_the_interval_of_a_mean():
    values = np.random.default_rng(0).gamma(2, 1, 50)
    found = contrast(np.tile(values, (1, 3, 1)), np.array([1.0]))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found[1:3] == pytest.approx(expected)
    assert found.freedom == pytest.approx(49)


def least_squares(table, weights):
    """A contrast's interval from a linear model of conditions and seeds, by its design matrix."""
    conditions, seeds = table.shape
    condition, seed = np.indices(table.shape).reshape(2, -1)
    design = np.concatenate([np.eye(conditions)[condition], np.eye(seeds)[seed][:, 1:]], axis=1)
    found, residual, rank, _ = np.linalg.lstsq(design, table.ravel(), rcond=None)
    freedom = table.size - rank
    weights = np.concatenate([weights, np.zeros(seeds - 1)])
    error = np.sqrt(weights @ np.linalg.inv(design.T @ design) @ weights * residual[0] / freedom)
    reach = stats.t.ppf(0.975, freedom) * error
    return weights @ found - reach, weights @ found + reach


@pytest.mark.parametrize("weights", [(1, -1, 0, 0), (-3, -1, 1, 3), (0, 0.5, 0.5, -1)])
def test_a_contrast_pools_seeds_as_a_linear_model_of_all_runs_does(weights):
    table = np.random.default_rng(3).normal(0, 1, (4, 3))
    found = contrast(of_seeds(table), np.array(weights))
    assert found[1:3] == pytest.approx(least_squares(table, np.array(weights, dtype=float)))
    assert found.freedom == pytest.approx(6)


def test_a_level_counts_what_seeds_do_in_all_conditions():
    # Seeds alike in all conditions: the interval of one is Student's, other conditions add nothing.
    seeds = np.array([0.1, 0.5, 0.3, 0.8])
    table = of_seeds([seeds, seeds + 1, seeds + 5])
    found = contrast(table, np.array([1.0, 0.0, 0.0]))
    assert found[1:3] == pytest.approx(stats.ttest_1samp(seeds, 0).confidence_interval(0.95))
    same = contrast(table, np.array([1.0, -1.0, 0.0]))
    assert same[:3] == pytest.approx((-1, -1, -1))


def test_images_that_say_nothing_leave_the_seeds_degrees_of_freedom():
    rng = np.random.default_rng(7)
    rest = rng.normal(0, 1, (2, 3, 12))
    rest -= rest.mean(axis=1, keepdims=True)  # an image's mean over seeds is the same for all images
    values = rest + rng.normal(0, 1, (2, 3, 1))
    found = contrast(values, DIFFERENCE)
    assert found.freedom == pytest.approx(2)
    expected = stats.ttest_rel(*values.mean(axis=2)).confidence_interval(0.95)
    assert found[1:3] == pytest.approx(expected)


def test_the_variance_is_that_of_the_components():
    # Mean of the estimated variance over many studies, against the variance of the estimates themselves.
    rng = np.random.default_rng(1)
    conditions, seeds, images, studies = 3, 3, 20, 4000
    values = rng.normal(0, 0.3, (studies, conditions, seeds, 1)) + rng.normal(0, 0.2, (studies, 1, seeds, 1))
    values = values + rng.normal(0, 1, (studies, conditions, 1, images))
    values = values + rng.normal(0, 1, (studies, conditions, seeds, images))
    for weights in ((1, -1, 0), (1, 0, 0), (-1, 0.5, 0.5)):
        found = contrast(values, np.array(weights))
        variance = ((found.high - found.low) / 2 / stats.t.ppf(0.975, found.freedom)) ** 2
        squared, total = np.sum(np.square(weights)), np.sum(weights) ** 2
        truth = (0.09 * squared + 0.04 * total) / seeds + squared * (1 / images + 1 / seeds / images)
        assert variance.mean() == pytest.approx(truth, rel=0.04)
        assert found.estimate.var() == pytest.approx(truth, rel=0.08)


@given(st.integers(1, 4), st.integers(2, 4), st.integers(2, 9), st.integers(0, 10**6))
def test_many_studies_at_once_give_what_each_gives(conditions, seeds, images, seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.random((3, conditions, seeds, images)), rng.normal(size=conditions)
    for method in (contrast, positive, lambda values, _: share(values, conditions - 1)):
        together = method(values, weights)
        for index, study in enumerate(values):
            np.testing.assert_allclose([field[index] for field in together], method(study, weights))


def test_one_seed_one_image_or_an_infinite_value_gives_no_interval():
    values = np.random.default_rng(0).random((2, 3, 5))
    infinite = values.copy()
    infinite[0, 0, 0] = np.inf
    for some in (values[:, :1], values[..., :1], infinite):
        assert np.isnan(contrast(some, DIFFERENCE)[1:]).all()
    difference = values[0, 0].mean() - values[1, 0].mean()
    assert contrast(values[:, :1], DIFFERENCE).estimate == pytest.approx(difference)


def test_a_condition_without_numbers_leaves_the_others_alone():
    values = np.random.default_rng(0).random((3, 3, 5))
    gap = values.copy()
    gap[2] = np.nan
    found = contrast(gap, np.array([1.0, -1.0, 0.0]))
    assert tuple(found) == pytest.approx(tuple(contrast(values[:2], DIFFERENCE)))


def test_ratios_are_intervals_of_logarithms():
    # Small relative deviations of seeds: as the paired interval of the logarithms, and free of units.
    rng = np.random.default_rng(2)
    table = np.exp(rng.normal(0, 0.01, (2, 5))) * [[2.0], [3.0]]
    found = positive(of_seeds(table), DIFFERENCE)
    expected = np.exp(stats.ttest_rel(*np.log(table)).confidence_interval(0.95))
    assert found[1:3] == pytest.approx(expected, rel=1e-3)
    assert found.estimate == pytest.approx(table[0].mean() / table[1].mean())
    scaled = positive(1000 * of_seeds(table), DIFFERENCE)
    assert tuple(scaled) == pytest.approx(tuple(found))
    assert np.isnan(positive(of_seeds(np.zeros((2, 3))), DIFFERENCE)[1:3]).all()


@example(2, 2, 0.5, 0.0, 635)  # no variance but that of rounding
@given(st.integers(2, 5), st.integers(2, 30), st.floats(0, 1), st.floats(0, 0.5), st.integers(0, 10**6))
def test_intervals_stay_where_the_quantity_can_be(seeds, images, chance, spread, seed):
    rng = np.random.default_rng(seed)
    chances = np.clip(chance + rng.normal(0, spread, (3, seeds, 1)), 0, 1)
    right = (rng.random((3, seeds, images)) < chances).astype(float)
    found = share(right, 1)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.low < found.high
    distances = rng.gamma(0.5, 1, (3, seeds, images)) + 1e-9
    low, high = positive(distances, np.array([0.0, 1.0, 0.0]))[1:3]
    assert 0 <= low < high


def test_the_interval_of_an_accuracy_is_that_of_binomial_trials_where_seeds_agree():
    right = np.tile(np.arange(400) < 60, (1, 3, 1)).astype(float)
    found = share(right, 0)
    expected = stats.binomtest(60, 400).proportion_ci(0.95, method="wilson")
    assert found[1:3] == pytest.approx((expected.low, expected.high), abs=0.005)
    exact = stats.binomtest(400, 400).proportion_ci(0.95, method="exact")
    assert share(np.ones((1, 3, 400)), 0)[:3] == pytest.approx((1, exact.low, 1))


def test_levels_that_are_one_have_one_levels_interval_and_independent_ones_bonferronis():
    rng = np.random.default_rng(5)
    level = rng.normal(0, 1, (2, 200, 300))  # so many seeds that the normal distribution serves
    alike = simultaneous(np.tile(level, (6, 1, 1, 1)), DIFFERENCE)
    single = contrast(level, DIFFERENCE)
    width = single.high - single.low
    assert alike.high - alike.low == pytest.approx(np.full(6, width), rel=0.02)
    independent = simultaneous(rng.normal(0, 1, (6, 2, 200, 300)), DIFFERENCE)
    error = (independent.high - independent.low) / 2
    of_one = contrast(rng.normal(0, 1, (6, 2, 200, 300)), DIFFERENCE)
    one = (of_one.high - of_one.low) / 2 / stats.norm.ppf(0.975)
    assert (error / one).mean() == pytest.approx(stats.norm.ppf((1 + 0.95 ** (1 / 6)) / 2), rel=0.03)


@given(
    conditions=st.integers(2, 4), seeds=st.integers(2, 4), images=st.integers(2, 40), seed=st.integers(0, 999)
)
def test_no_interval_has_fewer_degrees_of_freedom_than_its_seeds(conditions, seeds, images, seed):
    rng = np.random.default_rng(seed)
    per_image = rng.normal(0, 0.2, (conditions, 1, images)) + rng.normal(0, 0.4, (conditions, seeds, images))
    values = rng.gamma(2, 1, images) * np.exp(per_image)
    weights = np.zeros(conditions)
    weights[[0, -1]] = -1, 1
    found = positive(values, weights)
    assert found.freedom >= (conditions - 1) * (seeds - 1)
    level = contrast(values, np.eye(conditions)[0])
    assert level.freedom >= seeds - 1


def test_contrasts_at_one_level_hold_at_once_and_pool_all_conditions():
    """Of two neighbouring steps, -1, 1, 0 and 0, -1, 1, estimates correlate by -1/2."""
    rng = np.random.default_rng(3)
    weights = np.array([[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    held, factors = 0, []
    for _ in range(400):
        values = rng.normal(0, 1, (3, 4, 1)) + rng.normal(0, 1, (1, 4, 1)) + rng.normal(0, 0.5, (3, 4, 30))
        found = simultaneous_contrasts(values, weights)
        held += bool(((found.low < 0) & (found.high > 0)).all())
        each = contrast(np.stack([values, values]), weights[0])
        assert found.estimate[0] == pytest.approx(each.estimate[0])
        factors.append((found.high - found.low)[0] / (each.high - each.low)[0])
    assert 0.93 < held / 400 < 0.98
    # Of two t values with 6 degrees of freedom or more that correlate by -1/2, by simulation.
    draws = rng.multivariate_normal([0, 0], [[1, -0.5], [-0.5, 1]], 200_000)
    largest = np.abs(draws).max(axis=1) / np.sqrt(rng.chisquare(6, 200_000) / 6)
    expected = np.quantile(largest, 0.95) / stats.t.ppf(0.975, 6)
    assert np.median(factors) == pytest.approx(expected, rel=0.02)


def test_a_contrast_beside_others_is_the_contrast_alone():
    values = np.random.default_rng(4).normal(0, 1, (3, 3, 20))
    weights = np.array([[-1.0, 0.5, 0.5]])
    alone, beside = contrast(values, weights[0]), simultaneous_contrasts(values, weights)
    assert beside.estimate[0] == pytest.approx(alone.estimate)
    assert (beside.high - beside.low)[0] == pytest.approx(alone.high - alone.low, rel=0.03)


@pytest.mark.parametrize(("hits", "n"), [(0, 3), (1, 7), (6, 6), (14, 15), (7, 30)])
def test_the_interval_of_a_share_of_runs_is_clopper_and_pearsons(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert share_interval(hits / n, n)[1:3] == pytest.approx((expected.low, expected.high))


def test_half_an_observation_lies_between_whole_ones():
    lows = [share_interval(1.0, n).low for n in (7, 7.5, 8)]
    assert lows == sorted(lows)
