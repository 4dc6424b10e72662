import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tries import MODELS, tries_of, two_models

from neuroreg.analysis.convergence import convergence, expected_best
from neuroreg.analysis.distances import OVER_SEEDS, distance_statistics
from neuroreg.robustness.attack_result import NORMS

TRIES = st.one_of(st.sampled_from([0.0, 1.0, 2.0, np.inf]), st.floats(0.01, 10))


def part(table, **where):
    return table[(table[list(where)] == pd.Series(where)).all(axis=1)]


@settings(deadline=None)
@given(st.lists(TRIES, min_size=1, max_size=7))
def test_expected_best_is_the_mean_over_all_subsets(values):
    best, missed = expected_best(np.array(values)[:, None])
    for size in range(1, len(values) + 1):
        smallest = np.array([min(chosen) for chosen in combinations(values, size)])
        found = np.isfinite(smallest)
        assert missed[size - 1, 0] == pytest.approx(1 - found.mean())
        expected = smallest[found].mean() if found.any() else np.nan
        if np.isfinite(values).any():
            assert best[size - 1, 0] == pytest.approx(expected, rel=1e-12)
        else:
            assert np.isnan(best[size - 1, 0])


@settings(deadline=None)
@given(st.lists(st.lists(TRIES, min_size=3, max_size=3), min_size=1, max_size=40))
def test_expected_best_never_rises_and_ends_at_the_smallest(values):
    values = np.array(values)
    best, missed = expected_best(values)
    found = np.isfinite(values).any(axis=0)
    assert np.array_equal(best[-1, found], values.min(axis=0)[found])
    assert (np.diff(best[:, found], axis=0) <= 1e-12 * best[:-1, found]).all()
    assert (np.diff(missed, axis=0) <= 1e-15).all()
    assert np.array_equal(missed[-1], ~found)


def test_two_hundred_tries_lose_no_precision():
    # The expected smallest of k of the numbers 1 to n is (n + 1) / (k + 1).
    best, _ = expected_best(np.random.default_rng(0).permutation(200)[:, None] + 1.0)
    assert best[:, 0] == pytest.approx(201 / (np.arange(1, 201) + 1), rel=1e-12)


def test_every_curve_ends_at_the_bar_of_fig_2():
    tries = two_models()
    for run in tries.values():
        run.distance["l1"][..., 5] = np.inf
    frames = [
        pd.DataFrame(
            {"model": model, "seed": seed, "norm": norm, "sample": np.arange(7), "correct": own.correct}
        ).assign(distance=own.distance[norm].min(axis=(0, 1)).astype(float), attack="", largest=20.0)
        for (model, seed), own in tries.items()
        for norm in NORMS
    ]
    expected = distance_statistics(pd.concat(frames), MODELS)
    expected = expected[(expected["level"] == OVER_SEEDS) & (expected["samples"] == "all")]
    last = convergence(tries, MODELS).groupby(["norm", "model", "axis"]).last().reset_index()
    assert len(last) == 4 * 2 * 3
    for row in last.itertuples():
        bar = part(expected, norm=row.norm, model=row.model).iloc[0]
        assert row.mean == pytest.approx(bar["mean"], rel=1e-12)
        assert row.bound == pytest.approx(bar["bound"], rel=1e-12)
        assert row.not_found == pytest.approx(bar["not_found"])
        assert (row.n, row.n_correct) == (bar["n"], bar["n_correct"])
    assert (last.loc[last["norm"] == "l1", "not_found"] == 2).all()


def test_repetitions_and_settings_against_all_subsets():
    own = tries_of((4, 3, 6), correct=np.arange(6) != 2)
    table = convergence({("none", 1): own}, {"none": "None"})
    for norm in NORMS:
        distance = own.distance[norm].astype(float)
        used = np.unique(distance.min(axis=1)[:, own.correct].argmin(axis=0))
        for axis, name in ((1, "repetitions"), (0, "settings")):
            rows, passes = part(table, norm=norm, axis=name), own.passes
            if name == "settings":
                distance, passes = distance[used], passes[used]
            total = passes[..., own.correct].sum() / own.correct.sum()
            for row, size in zip(rows.itertuples(), range(1, distance.shape[axis] + 1), strict=True):
                subsets = combinations(range(distance.shape[axis]), size)
                means = [distance.take(chosen, axis).min(axis=(0, 1)).mean() for chosen in subsets]
                assert row.mean == pytest.approx(np.mean(means), rel=1e-12)
                assert row.count == size
                assert row.passes == pytest.approx(total * size / distance.shape[axis])


def test_settings_that_never_hold_the_smallest_distance_make_nothing_look_converged():
    """Two that are each best by 30 % for half of the samples; whatever else was tried says nothing."""
    rng = np.random.default_rng(0)
    close = rng.uniform(1, 2, (2, 1, 40))
    close[0, :, :20] *= 1.3
    close[1, :, 20:] *= 1.3
    close[1] = np.where(np.arange(40) < 20, close[0] / 1.3, close[0] * 1.3)
    idle = 3 * close[rng.integers(0, 2, 25)]
    both, many = (
        convergence({("none", 1): tries_of(tries)}, {"none": "None"})
        for tries in (close, np.concatenate([close, idle]))
    )
    for norm in NORMS:
        found = [part(table, norm=norm, axis="settings") for table in (both, many)]
        assert found[0]["mean"].tolist() == found[1]["mean"].tolist()
        assert found[1]["gain"].iloc[-1] == pytest.approx(0.15 / 1.15, rel=0.2)
        assert "last of 2 settings" in part(many, norm=norm)["verdict"].iloc[0]
        # Every curve ends where the whole search does.
        ends = part(many, norm=norm).groupby("axis")["mean"].last()
        assert ends.to_numpy() == pytest.approx(np.full(3, ends.iloc[0]))


def test_the_budget_is_spent_on_the_cheapest_settings_first():
    tries = {("none", 1): tries_of((4, 2, 6), correct=np.arange(6) != 2, passes=[50, 7, 7, 30])}
    own = tries["none", 1]
    rows = part(convergence(tries, {"none": "None"}), norm="l2", axis="budget")
    assert rows["setting"].tolist() == [own.setting[index] for index in (1, 2, 3, 0)]
    assert rows["attack"].tolist() == ["one", "two", "two", "one"]
    assert rows["passes"].tolist() == [14, 28, 88, 188]
    for count, row in enumerate(rows.itertuples(), start=1):
        spent = own.distance["l2"][[1, 2, 3, 0][:count]]
        assert row.mean == pytest.approx(spent.min(axis=(0, 1)).astype(float).mean())
    assert rows["gain"].iloc[1:].to_numpy() == pytest.approx(-rows["mean"].pct_change().iloc[1:].to_numpy())
    assert np.isnan(rows["gain"].iloc[0])


def test_samples_without_an_adversarial_are_counted_and_left_out():
    distance = np.array(
        [[[1.0, np.inf, np.inf]], [[3.0, 4.0, np.inf]]]
    )  # 2 settings, 1 repetition, 3 samples
    table = convergence({("none", 1): tries_of(distance)}, {"none": "None"})
    chosen = part(table, norm="l0", axis="settings")
    assert chosen["mean"].to_numpy() == pytest.approx([(2 + 4) / 2, (1 + 4) / 2])
    assert chosen["not_found"].to_numpy() == pytest.approx([1.5, 1])
    budget = part(table, norm="l0", axis="budget")
    assert budget["mean"].tolist() == [1, 2.5]
    assert budget["not_found"].tolist() == [2, 1]


def test_each_norm_has_one_sentence():
    table = convergence(two_models(), MODELS)
    assert (table["verdict"] != "").sum() == 4
    for norm in NORMS:
        rows = part(table, norm=norm)
        sentence = rows["verdict"].iloc[0]
        gains = rows[(rows["axis"] == "repetitions") & (rows["count"] == 3)].set_index("label")["gain"]
        assert sentence.startswith(
            f"The mean falls through the last of 3 repetitions by at most {100 * gains.max():.2g} % "
            f"({gains.idxmax()}), through the last of 5 settings by at most "
        )
        assert sentence.endswith(": not converged.")
    alike = np.tile([[[3.0, 5.0]]], (4, 2, 1))
    assert convergence({("none", 1): tries_of(alike)}, {"none": "None"})["verdict"].iloc[0] == (
        "The mean falls through the last of 2 repetitions by at most 0 % (None), "
        "through the last of 4 settings by at most 0 % (None), "
        "through the dearer half of the passes by at most 0 %: converged."
    )
    # One repetition of two finds the second sample: nothing tells how the mean goes on.
    late = np.array([[[5.0, np.inf], [5.0, 5.0]]] * 2)
    assert convergence({("none", 1): tries_of(late)}, {"none": "None"})["verdict"].iloc[0] == (
        "The mean falls through the last of 2 repetitions by at most 0 % (None), "
        "through the last of 2 settings by at most 0 % (None), "
        "through the dearer half of the passes by at most 0 %; "
        "the last of 2 repetitions finds the first adversarial of 25 % of samples: not converged."
    )
    # What one model lets know says nothing of the other.
    nowhere = np.full_like(alike, np.inf)
    both = {("none", 1): tries_of(alike), ("neural", 1): tries_of(nowhere)}
    assert convergence(both, MODELS)["verdict"].iloc[0].endswith(": undecided.")
    once = convergence({("none", 1): tries_of(alike[:, :1])}, {"none": "None"})["verdict"].iloc[0]
    assert once.startswith("The mean falls through the last of 4 settings")
    assert once.endswith(": undecided.")
    # One known failure decides: with one repetition, a last setting that lowers the mean by a tenth.
    better = np.array([[[5.0, 4.0]], [[4.0, 5.0]]])
    once = convergence({("none", 1): tries_of(better)}, {"none": "None"})["verdict"].iloc[0]
    assert "through the last of 2 settings by at most 11 % (None)" in once
    assert once.endswith(": not converged.")


def test_the_verdict_is_that_of_the_model_that_gains_most():
    # The expected smallest of one repetition is 101.5 %, that of two 100 %; the other model has settled.
    both = {
        ("none", 1): tries_of(np.full((2, 2, 3), 5.0)),
        ("neural", 1): tries_of(np.tile([[[2.0], [2.06]]], (2, 1, 3))),
    }
    sentence = convergence(both, MODELS)["verdict"].iloc[0]
    assert sentence.startswith("The mean falls through the last of 2 repetitions by at most 1.5 % (Neural), ")
    assert sentence.endswith(": not converged.")


def test_the_dearer_half_is_what_comes_after_half_of_the_passes():
    # 1, 3, 6, 12 passes up to each setting: from 5 at half of them to 4 at the end.
    tries = tries_of(np.array([8.0, 6.0, 5.0, 4.0])[:, None, None], passes=[1, 2, 3, 6])
    sentence = convergence({("none", 1): tries}, {"none": "None"})["verdict"].iloc[0]
    assert "through the dearer half of the passes by at most 20 %" in sentence
    # The half counts in passes, not in settings, and is that of the model that gains most.
    other = tries_of(np.array([8.0, 8.0, 8.0, 4.0])[:, None, None], passes=[1, 2, 3, 6])
    runs = {("none", 1): tries, ("neural", 1): other}
    sentence = convergence(runs, MODELS)["verdict"].iloc[0]
    assert "through the dearer half of the passes by at most 50 %" in sentence


def test_nothing_attacked_and_nothing_found():
    table = convergence({("none", 1): tries_of((2, 2, 3), correct=[False] * 3)}, {"none": "None"})
    assert (table["mean"] == 0).all()
    assert table["passes"].isna().all()
    table = convergence({("none", 1): tries_of(np.full((2, 2, 3), np.inf))}, {"none": "None"})
    assert table["mean"].isna().all()
    assert (table["bound"] == 20).all()
    assert (table["not_found"] == 3).all()
    for frame in (table, convergence(two_models(), MODELS)):
        assert " ".join(frame.columns) == (
            "norm model label axis count passes mean bound not_found n n_correct gain attack setting verdict"
        )


def test_convergence_and_ranks_need_no_torch():
    code = (
        "import sys, neuroreg.figures.convergence, neuroreg.analysis.convergence;"
        "import neuroreg.analysis.setting_ranks;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'foolbox', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
