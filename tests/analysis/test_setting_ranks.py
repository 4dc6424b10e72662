from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tries import tries_of

from neuroreg.analysis.setting_ranks import rank_settings, relative_rises, trim
from neuroreg.robustness.attack_result import NORMS

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


def test_wins_and_ties_and_what_a_setting_is_worth():
    distance = np.array(
        [
            [[2.0, 2.0, 7.0, 0.0, np.inf]],
            [[2.0, 1.0, np.inf, 0.0, np.inf]],
            [[2.0, 9.0, 9.0, 0.0, np.inf]],
        ]
    )
    tries = tries_of(distance, correct=[True, True, True, False, True], passes=[30, 20, 10])
    table = rank_settings({("none", 1): tries}, 0.01)
    rows = table[table["norm"] == "l2"].set_index("setting")
    assert rows.index.tolist() == list(tries.setting)
    # Sample 0 is a tie of all: the cheapest, setting 2, has it. Samples 3 and 4 do not count.
    assert rows["wins"].tolist() == [1, 1, 1]
    assert rows["samples"].tolist() == [3, 3, 3]
    assert rows["passes"].tolist() == [30, 20, 10]
    assert rows["rise"].tolist() == pytest.approx([(2 + 1 + 9) / 10 - 1, (2 + 2 + 7) / 10 - 1, 0])
    assert rows["largest_rise"].tolist() == pytest.approx(rows["rise"].tolist())
    # The first settings of the attacks one and two, 0 and 2, stay; 1 is worth 10 %.
    assert rows["kept"].tolist() == ["yes", "yes", "yes"]
    generous = rank_settings({("none", 1): tries}, 0.11)
    assert generous.loc[generous["norm"] == "l0", "kept"].tolist() == ["yes", "no", "yes"]


def test_a_setting_that_alone_finds_an_adversarial_is_kept():
    distance = np.array([[[1.0, np.inf]], [[1.0, 50.0]], [[9.0, np.inf]]])
    table = rank_settings({("none", 1): tries_of(distance)}, 1e9)
    rows = table[table["norm"] == "linf"]
    assert rows["rise"].tolist() == [0, np.inf, 0]
    assert rows["kept"].tolist() == ["yes", "yes", "yes"]


def test_repetitions_count_together_and_models_apart():
    runs = {
        (model, seed): tries_of((6, 3, 5), seed=seed + 7 * place)
        for place, model in enumerate("ab")
        for seed in (1, 2)
    }
    table = rank_settings(runs, 0.01)
    assert " ".join(table.columns) == (
        "attack setting norm passes wins samples rise largest_rise never_wins never_wins_any_norm kept"
    )
    assert len(table) == 6 * 4
    assert table["norm"].tolist() == list(NORMS) * 6
    for norm in NORMS:
        rows = table[table["norm"] == norm]
        best = {run: tries.distance[norm].min(axis=1).astype(float) for run, tries in runs.items()}
        winners = np.concatenate([values.argmin(axis=0) for values in best.values()])
        assert rows["wins"].tolist() == np.bincount(winners, minlength=6).tolist()
        assert (rows["never_wins"] == "yes").tolist() == (rows["wins"] == 0).tolist()
        for index, row in enumerate(rows.itertuples()):
            left = [place for place in range(6) if place != index]
            means = {
                model: [
                    np.mean([best[model, seed][chosen].min(axis=0).mean() for seed in (1, 2)])
                    for chosen in (left, range(6))
                ]
                for model in "ab"
            }
            without, whole = np.array(list(means.values())).T
            assert row.rise == pytest.approx(without.sum() / whole.sum() - 1, abs=1e-12)
            assert row.largest_rise == pytest.approx((without / whole - 1).max(), abs=1e-12)
    assert (table.groupby("setting")["kept"].nunique() == 1).all()
    idle = table.groupby("setting")["wins"].sum() == 0
    assert (
        table.groupby("setting")["never_wins_any_norm"].first() == idle.map({True: "yes", False: "no"})
    ).all()


def test_nothing_found_keeps_the_references_only():
    table = rank_settings({("none", 1): tries_of(np.full((4, 1, 3), np.inf))}, 0.0)
    assert (table["rise"] == 0).all()
    assert table[table["norm"] == "l0"]["kept"].tolist() == ["yes", "no", "yes", "no"]
    nobody = rank_settings({("none", 1): tries_of((4, 1, 3), correct=[False] * 3)}, 0.0)
    assert nobody["passes"].isna().all()
    assert isinstance(nobody, pd.DataFrame)
