from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroreg.analysis.smaller_lists import OWN, choose, relative_rises, trim
from neuroreg.errors import InputError

DISTANCES = st.one_of(st.sampled_from([1.0, 2.0, np.inf]), st.floats(0.5, 3))


@st.composite
def problems(draw):
    """Distances of up to five settings to six samples of two models under two norms, and references."""
    count, samples = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    distance, group = {}, {}
    for norm in ("l1", "l2"):
        values = np.array(
            draw(
                st.lists(
                    st.lists(DISTANCES, min_size=count, max_size=count), min_size=samples, max_size=samples
                )
            )
        ).T
        models = np.array(draw(st.lists(st.integers(0, 1), min_size=samples, max_size=samples)))
        found = np.isfinite(values).any(axis=0)
        distance[norm], group[norm] = values[:, found], models[found]
    reference = np.array([True, *draw(st.lists(st.booleans(), min_size=count - 1, max_size=count - 1))])
    return distance, group, reference


def rise(distance, group, kept):
    """The largest rise of a mean over models and norms, the slow way."""
    rises = [0.0]
    for norm, values in distance.items():
        for model in set(group[norm].tolist()):
            own = values[:, group[norm] == model]
            rises.append(own[kept].min(axis=0).mean() / own.min(axis=0).mean() - 1)
    return max(rises)


@settings(deadline=None)
@given(problems(), st.data())
def test_rises_are_those_of_leaving_one_out(problem, data):
    distance, group, kept = problem
    values, models = distance["l1"], group["l1"]
    rises = relative_rises(values, models, kept)
    for index, model in product(range(len(kept)), range(models.max(initial=-1) + 1)):
        own = values[:, models == model]
        if not own.size:
            assert rises[index, model] == 0
            continue
        left = kept & (np.arange(len(kept)) != index)
        mean = own[left].min(axis=0, initial=np.inf).mean()
        assert rises[index, model] == pytest.approx(mean / own.min(axis=0).mean() - 1, abs=1e-12)


@settings(deadline=None)
@given(problems(), st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_the_trimmed_list_is_within_the_tolerance_and_none_of_it_can_go(problem, tolerance):
    distance, group, reference = problem
    costs = np.arange(len(reference), dtype=float)
    kept = trim(distance, group, reference, costs, tolerance)
    assert kept[reference].all()
    assert rise(distance, group, kept) <= tolerance + 1e-12
    for index in np.flatnonzero(kept & ~reference):
        left = kept & (np.arange(len(kept)) != index)
        assert rise(distance, group, left) > tolerance - 1e-12
    sizes = [
        sum(chosen)
        for chosen in product([False, True], repeat=len(reference))
        if np.array(chosen)[reference].all() and rise(distance, group, np.array(chosen)) <= tolerance
    ]
    assert min(sizes) <= kept.sum() <= len(reference)
    if tolerance == 0.5 and reference.sum() == len(reference) - 1:
        assert kept.sum() == min(sizes)


def test_trimming_finds_the_smallest_list_where_settings_are_nested():
    # Setting 3 is best but on sample 0, which setting 1 holds; 0 is the reference, 2 and 4 are idle.
    values = np.array([[5.0, 5, 5, 5], [1, 4, 4, 4], [3, 3, 3, 3], [4, 1, 1, 1], [9, 9, 9, 2]])
    reference = np.array([True, False, False, False, False])
    problem = {"l2": values}, {"l2": np.zeros(4, dtype=int)}, reference, np.ones(5)
    assert trim(*problem, 0.0).tolist() == [True, True, False, True, False]
    # Without setting 1 the mean rises from 1 to 7 / 4.
    assert trim(*problem, 0.75).tolist() == [True, False, False, True, False]
    assert trim(*problem, 0.74).tolist() == [True, True, False, True, False]


def test_of_equal_settings_the_dearest_goes():
    values = np.tile([[1.0, 2.0]], (4, 1))
    reference = np.array([False, False, False, False])
    problem = {"l0": values}, {"l0": np.zeros(2, dtype=int)}, reference
    assert trim(*problem, np.array([3.0, 1.0, 2.0, 4.0]), 0.0).tolist() == [False, True, False, False]
    assert trim(*problem, np.ones(4), 0.0).tolist() == [True, False, False, False]


def test_one_model_may_not_pay_for_another():
    # Dropping setting 1 raises the mean over both models by 1 %, that of the second by 40 %.
    values = np.array([[100.0, 3.5], [100.0, 2.5]])
    reference, costs = np.array([True, False]), np.ones(2)
    together = trim({"l2": values}, {"l2": np.array([0, 0])}, reference, costs, 0.01)
    apart = trim({"l2": values}, {"l2": np.array([0, 1])}, reference, costs, 0.01)
    assert together.tolist() == [True, False]
    assert apart.tolist() == [True, True]


ATTACKS = ["one", "two", "one", "two", "one", "one", "three"]
PLACES = np.array([0, 1, 0, 1, 0, 0, 2])
OWN_NORMS = {"three": "l1", "one": "l2", "two": "l1"}


@st.composite
def grids(draw):
    """Distances of seven settings of three attacks to up to six samples of two models, and their passes."""
    samples = draw(st.integers(1, 6))
    values = st.lists(st.floats(0.5, 3), min_size=samples, max_size=samples)
    distance = {norm: np.array([draw(values) for _ in ATTACKS]).round(2) for norm in ("l1", "l2")}
    group = np.array(draw(st.lists(st.integers(0, 1), min_size=samples, max_size=samples)))
    costs = np.array(draw(st.lists(st.integers(1, 9), min_size=len(ATTACKS), max_size=len(ATTACKS))), float)
    return distance, dict.fromkeys(distance, group), costs, draw(st.integers(9, 50))


def excess(distance, group, kept):
    """What `choose` lowers, the slow way."""
    attack = np.array(ATTACKS)

    def mean(norm, rows, some):
        models = sorted(set(group[norm].tolist()))
        own = [distance[norm][:, group[norm] == model] for model in models]
        return np.mean([each[rows & some].min(axis=0).mean() / each[rows].min(axis=0).mean() for each in own])

    everything = np.ones(len(attack), dtype=bool)
    together = np.mean([mean(norm, everything, kept) for norm in distance])
    return together + OWN * np.mean([mean(OWN_NORMS[name], attack == name, kept) for name in OWN_NORMS])


def slow_choice(distance, group, costs, most):
    """The docstring of `choose` in loops: all lists one exchange away, their excess as `excess` has it."""
    kept = np.zeros(len(ATTACKS), dtype=bool)
    for place in range(3):
        for one in sorted(np.flatnonzero(place == PLACES), key=lambda one: costs[one])[:2]:
            kept[one] = True
    now = excess(distance, group, kept)
    while True:
        best = None
        for goes, comes in product([*np.flatnonzero(kept), None], [*np.flatnonzero(~kept), None]):
            other = kept.copy()
            if goes is not None:
                other[goes] = False
            if comes is not None:
                other[comes] = True
            if not enough(other) or costs[other].sum() > most:
                continue
            further = costs[other].sum() - costs[kept].sum()
            gain = now - excess(distance, group, other)
            worth = gain / max(further, 1)
            if gain > 1e-11 and (best is None or worth > best[0]):
                best = worth, other
        if best is None:
            return kept
        kept = best[1]
        now = excess(distance, group, kept)


def enough(kept):
    """Whether two settings of each attack are there, or the one that it has."""
    return (np.bincount(PLACES[kept], minlength=3) >= [2, 2, 1]).all()


@pytest.mark.parametrize("seed", range(40))
def test_exchanges_are_made_in_their_order(seed):
    rng = np.random.default_rng(seed)
    # Models and norms differ in how large distances are; no two lists cost the same; model 1 has no samples.
    group = np.array([0, 2, 2, 0, 0])
    distance = {norm: rng.uniform(0.5, 3, (7, 5)) * [1, 9, 9, 1, 1] for norm in ("l1", "l2")}
    distance["l2"] *= 0.01
    if seed % 2:
        distance = {norm: values[[0, 1, 2, 1, 0, 5, 6]] for norm, values in distance.items()}
    costs = rng.permutation([1.0, 2.1, 4.3, 8.7, 17.1, 33.9, 70.3])
    groups = dict.fromkeys(distance, group)
    for most in (60, 90, 120):
        try:
            kept = choose(distance, groups, ATTACKS, OWN_NORMS, costs, most)
        except InputError:
            continue
        assert kept.tolist() == slow_choice(distance, groups, costs, most).tolist()


@settings(deadline=None)
@given(grids())
def test_no_exchange_betters_the_list_that_is_chosen(problem):
    distance, group, costs, most = problem
    lists = [
        each
        for each in map(np.array, product([False, True], repeat=len(ATTACKS)))
        if enough(each) and costs[each].sum() <= most
    ]
    if not lists:
        with pytest.raises(InputError, match=r"adversarial.trim_passes: .*; expected at least "):
            choose(distance, group, ATTACKS, OWN_NORMS, costs, most)
        return
    kept = choose(distance, group, ATTACKS, OWN_NORMS, costs, most)
    assert any((kept == each).all() for each in lists)
    found = excess(distance, group, kept)
    for each in lists:
        one_exchange = (each & ~kept).sum() <= 1 and (kept & ~each).sum() <= 1
        assert not one_exchange or excess(distance, group, each) >= found - 1e-9
    if costs.sum() <= most:
        assert found == pytest.approx(1 + OWN)


def test_what_is_chosen_for_as_many_passes():
    # The second and third setting of a pay for one model each, the fourth for none.
    distance = {"l2": np.array([[3.5, 4], [3, 4], [4, 1], [9, 9], [5, 5], [6, 6]])}
    group, attack, norms = {"l2": np.array([0, 1])}, ["a"] * 4 + ["b"] * 2, {"a": "l2", "b": "l2"}
    costs = np.array([1.0, 5, 5, 1, 1, 1])

    def chosen(most):
        return choose(distance, group, attack, norms, costs, most).tolist()

    assert chosen(4) == [True, False, False, True, True, True]
    # Of the two that cost as much, the one that lowers the mean of its model more.
    assert chosen(8) == [True, False, True, False, True, True]
    # Both, and neither of those that are idle beside them.
    assert chosen(12) == [False, True, True, False, True, True]
    assert chosen(100) == [False, True, True, False, True, True]


@pytest.mark.parametrize(("share", "chosen"), [(0.04, "a"), (0.06, "b")])
def test_an_attacks_own_mean_counts_a_tenth(share, chosen):
    # Half of a's own excess, 1, counts .05; b's better setting lowers all means by a share.
    distance = {"l2": np.array([[4.0], [4], [2], [1 + share], [1 + share], [1]])}
    attack, norms = ["a"] * 3 + ["b"] * 3, {"a": "l2", "b": "l2"}
    kept = choose(distance, {"l2": np.array([0])}, attack, norms, np.array([1.0, 1, 2, 1, 1, 2]), 5)
    assert kept[[2, 5]].tolist() == [chosen == "a", chosen == "b"]


def test_an_attack_counts_under_the_norm_that_it_minimises():
    # Under l1 the third setting of a is its best, under l2 the fourth; b is nearer under both.
    distance = {norm: np.array([[9.0], [9], [9], [9], [1], [1]]) for norm in ("l1", "l2")}
    distance["l1"][2], distance["l2"][3] = 2, 2
    groups, attack = dict.fromkeys(distance, np.array([0])), ["a"] * 4 + ["b"] * 2
    for norm, best in (("l1", 2), ("l2", 3)):
        norms = {"a": norm, "b": "l1"}
        kept = choose(distance, groups, attack, norms, np.array([1.0, 1, 2, 2, 1, 1]), 6)
        assert kept[2:4].tolist() == [best == 2, best == 3]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", [3879, 1012212])
def test_no_list_looks_better_than_itself(seed):
    # Sums in two orders may differ in the last bit; settings 2 to 4 are idle and cost the same.
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.5, 3, (8, 50)).round(3)
    values[2:5] += 3
    distance, group = {"l1": 1.3 * values, "l2": 0.7 * values}, rng.integers(0, 2, 50)
    costs, attack, norms = np.array([5.0, 5, 2, 2, 2, 2, 2, 2]), ["a"] * 5 + ["b"] * 3, {"a": "l2", "b": "l1"}
    kept = choose(distance, dict.fromkeys(distance, group), attack, norms, costs, 11)
    assert costs[kept].sum() <= 11


def test_one_setting_of_an_attack_is_enough_if_it_has_no_other():
    distance = {"l2": np.array([[2.0], [1.0]])}
    group, norms = {"l2": np.array([0])}, {"a": "l2", "b": "l2"}
    assert choose(distance, group, ["a", "b"], norms, np.ones(2), 2).tolist() == [True, True]
    with pytest.raises(InputError, match="trim_passes: 1; expected at least 3, "):
        choose(distance, group, ["a", "b"], norms, np.array([1.0, 1.2]), 1)
