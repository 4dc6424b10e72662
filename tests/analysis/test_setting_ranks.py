import numpy as np
import pandas as pd
import pytest
from made_up_tries import tries_of

from neuroreg.analysis.setting_ranks import rank_settings
from neuroreg.analysis.smaller_lists import choose
from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import NORMS


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


def test_a_number_of_passes_decides_what_is_kept_instead():
    # Of b distances are larger; sample 0 is misclassified, 1 unreached, setting 4 misses 2.
    correct = np.arange(9) > 0
    runs = {(model, 1): tries_of((6, 2, 9), correct=correct, seed=place) for place, model in enumerate("ab")}
    for scale, tries in zip((1, 30), runs.values(), strict=True):
        for norm, values in tries.distance.items():
            values *= scale
            values[:, :, 1] = np.inf
            values[4, :, 2] = np.inf
            tries.largest[norm][:] = scale * np.arange(2.0, 11)
    norms = {"one": "l1", "two": "linf"}
    distance = {norm: [] for norm in NORMS}
    for tries in runs.values():
        for norm in NORMS:
            closest = tries.distance[norm][:, :, 2:].min(axis=1).astype(float)
            distance[norm].append(np.where(np.isinf(closest), tries.largest[norm][2:], closest))
    distance = {norm: np.concatenate(parts, axis=1) for norm, parts in distance.items()}
    groups = dict.fromkeys(NORMS, np.repeat([0, 1], 7))
    seen = set()
    for most in range(12, 22):
        table = rank_settings(runs, 0.01, most=most, norms=norms)
        kept = (table["kept"] == "yes").to_numpy().reshape(6, 4)
        assert (kept == kept[:, :1]).all()
        expected = choose(distance, groups, runs["a", 1].attack, norms, np.arange(1.0, 7), most)
        assert (kept[:, 0] == expected).all()
        seen.add(tuple(expected))
    assert len(seen) > 3
    with pytest.raises(InputError, match=r"adversarial.trim_passes: 11; expected at least 12, "):
        rank_settings(runs, 0.01, most=11, norms=norms)
    assert rank_settings(runs, 0.01, norms=norms).equals(rank_settings(runs, 0.01))
    # Nobody's: the two cheapest, whatever they cost.
    nobody = rank_settings({("none", 1): tries_of((6, 1, 3), correct=[False] * 3)}, 0.0, most=1, norms=norms)
    assert (nobody["kept"] == "yes").sum() == 16


@pytest.mark.parametrize(("farthest", "kept"), [(0.6, [3, 4]), (60.0, [3, 5])])
def test_what_a_list_misses_counts_as_the_farthest_image(farthest, kept):
    # Sample 2 is missed by 3 and 4, each near to others; 0 is misclassified, 1 unreached.
    distance = np.full((6, 1, 9), 0.1)
    distance[3:] = 1
    distance[3, :, 3:6] = distance[4, :, 6:] = 0.2
    distance[3:5, :, 2], distance[:, :, 1] = np.inf, np.inf
    tries = tries_of(distance, correct=np.arange(9) > 0)
    for norm in NORMS:
        tries.largest[norm][:] = [500, 500, farthest, 500, 500, 500, 500, 500, 500]
    table = rank_settings({("none", 1): tries}, 0.0, most=13, norms={"one": "l1", "two": "l2"})
    rows = table[table["norm"] == "l0"].reset_index(drop=True)
    assert np.flatnonzero(rows["kept"][3:] == "yes").tolist() == [one - 3 for one in kept]


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
