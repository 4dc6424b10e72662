import numpy as np
import pandas as pd
import pytest
from figure_frames import INF, LABELS, distances

from neuroreg.analysis.intervals import positive
from neuroreg.errors import InputError
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.tables import table2
from neuroreg.figures.tightening import tightening_figure
from neuroreg.robustness.attack_result import NORMS


def test_fig2_draws_means_intervals_and_every_seed():
    frame = distances()
    fig, numbers = fig2(frame, LABELS)
    assert len(fig.axes) == 4
    for ax, norm in zip(fig.axes, NORMS, strict=True):
        assert [text.get_text() for text in ax.get_xticklabels()] == list(LABELS.values())
        bars = [patch for patch in ax.patches if patch.get_fill()]
        for model, bar, dots, whisker in zip(LABELS, bars, ax.get_lines(), ax.collections, strict=True):
            part = frame[(frame["model"] == model) & (frame["norm"] == norm) & np.isfinite(frame["distance"])]
            per_seed = [part.loc[part["seed"] == seed, "distance"].mean() for seed in (1, 2, 3)]
            np.testing.assert_allclose(dots.get_ydata(), per_seed)
            assert bar.get_height() == pytest.approx(np.mean(per_seed))
            chosen = (numbers["norm"] == norm) & (numbers["model"] == model) & (numbers["samples"] == "all")
            row = numbers[chosen & (numbers["level"] == "over seeds")].iloc[0]
            assert row["mean"] == bar.get_height()
            np.testing.assert_array_equal(whisker.get_segments()[0][:, 1], [row["low"], row["high"]])
            assert row["low"] < row["mean"] < row["high"]
            np.testing.assert_allclose(
                numbers.loc[chosen & (numbers["level"] == "one seed"), "mean"], per_seed
            )


def test_fig2_says_where_no_adversarial_was_found():
    frame = distances()
    fig, numbers = fig2(frame, LABELS)
    assert [bool(ax.get_xlabel()) for ax in fig.axes] == [True, False, False, False]
    # 3 seeds, 11 correct samples each, samples 0 and 5 not found
    # They are counted at 50, the largest distance possible in these frames.
    l0 = frame[(frame["norm"] == "l0") & (frame["model"] == "neural")]
    bound = l0["distance"].replace(INF, 50.0).mean()
    assert fig.axes[0].get_xlabel() == f"No adversarial found: mean\nNeural 18 %: ≤ {bound:.3g}"
    outlines = [patch for patch in fig.axes[0].patches if not patch.get_fill()]
    assert [outline.get_height() for outline in outlines] == [pytest.approx(bound)]
    highest = max(patch.get_height() for patch in fig.axes[0].patches if patch.get_fill())
    assert highest < fig.axes[0].get_ylim()[1]
    row = numbers[
        (numbers["norm"] == "l0") & (numbers["model"] == "neural") & (numbers["level"] == "over seeds")
    ]
    assert list(row["not_found"]) == [6, 6]
    assert list(row["n"]) == [36, 33]
    np.testing.assert_allclose(row["success"], 1 - 6 / 33)
    assert row["bound"].iloc[0] == pytest.approx(bound)
    assert (row["bound_low"] < row["bound"]).all()
    others = numbers[(numbers["norm"] != "l0") | (numbers["model"] != "neural")]
    pd.testing.assert_frame_equal(
        others[["mean", "low", "high"]],
        others[["bound", "bound_low", "bound_high"]].set_axis(["mean", "low", "high"], axis=1),
    )


def test_fig2_carries_both_conventions():
    frame = distances(failures=False)
    _, numbers = fig2(frame, LABELS)
    over = numbers[numbers["level"] == "over seeds"].set_index(["norm", "model", "samples"])
    l2 = frame[(frame["norm"] == "l2") & (frame["model"] == "shuffle")]
    assert over.loc[("l2", "shuffle", "all"), "mean"] == pytest.approx(l2["distance"].mean())
    kept = l2.loc[l2["correct"], "distance"]
    assert over.loc[("l2", "shuffle", "correct"), "mean"] == pytest.approx(kept.mean())
    medians = l2[l2["correct"]].groupby("seed")["distance"].median()
    assert over.loc[("l2", "shuffle", "correct"), "median"] == pytest.approx(medians.mean())
    assert over.loc[("l2", "shuffle", "correct"), "n"] == len(kept) == 33


def test_fig2_with_one_seed_and_a_condition_that_no_attack_beats():
    frame = distances(seeds=1)
    beaten = (frame["model"] == "none") & (frame["norm"] == "linf")
    frame.loc[beaten, ["distance", "correct"]] = [INF, True]
    fig, numbers = fig2(frame, LABELS)
    assert [patch.get_fill() for patch in fig.axes[3].patches] == [False, True, True]
    assert fig.axes[3].get_xlabel().endswith("\nNone 100 %: ≤ 50")
    row = numbers[
        (numbers["model"] == "none") & (numbers["norm"] == "linf") & (numbers["level"] == "over seeds")
    ]
    assert row[["mean", "low", "median_low"]].isna().all(axis=None)
    assert not fig.axes[0].collections  # one seed has no interval
    assert (row["success"] == 0).all()
    assert np.isinf(row["median"]).all()


def test_fig2_intervals_are_those_of_means_on_the_logarithmic_scale_with_seeds_pooled():
    frame = distances(failures=False)
    _, numbers = fig2(frame, LABELS)
    rows = numbers[(numbers["level"] == "over seeds") & (numbers["samples"] == "all")]
    for norm in NORMS:
        of_norm = frame[frame["norm"] == norm]
        table = of_norm.pivot(index=["model", "seed"], columns="sample", values="distance")
        values = table.loc[list(LABELS)].to_numpy().reshape(3, 3, 12)
        for index, model in enumerate(LABELS):
            row = rows[(rows["norm"] == norm) & (rows["model"] == model)].iloc[0]
            found = positive(values, np.eye(3)[index])
            assert (row["low"], row["high"]) == pytest.approx((found.low, found.high))
            assert 0 < row["median_low"] < row["median"] < row["median_high"]


def test_a_model_apart_has_the_intervals_that_it_has_alone_and_moves_no_other():
    frame = distances(failures=False)
    frame["tightened"] = frame["distance_more"] = 0.9 * frame["distance"]
    drawings = (
        fig2,
        lambda frame, models, **apart: (None, table2(frame, models, **apart)),
        lambda frame, models, **apart: tightening_figure(frame, models, ["more"], **apart),
    )
    for draw in drawings:
        _, apart = draw(frame, LABELS, apart=["shuffle"])
        _, pooled = draw(frame, LABELS)
        assert not apart.equals(pooled)
        for names in (["shuffle"], ["none", "neural"]):
            chosen = frame[frame["model"].isin(names)]
            _, alone = draw(chosen, {name: LABELS[name] for name in names})
            own = apart[apart["model"].isin(names)].reset_index(drop=True)
            pd.testing.assert_frame_equal(own, alone)


def test_fig2_refuses_a_misspelt_column_and_an_empty_frame():
    with pytest.raises(InputError, match="expected also distance"):
        fig2(distances().rename(columns={"distance": "dist"}), LABELS)
    with pytest.raises(InputError, match="no rows"):
        fig2(distances().iloc[:0], LABELS)


def test_fig2_of_nothing_but_failures_and_misclassified_images_has_the_bounds_scale():
    frame = distances()
    frame.loc[frame["correct"], "distance"] = INF
    frame["attack"] = ""
    fig, numbers = fig2(frame, LABELS)
    assert (numbers.loc[numbers["samples"] == "all", "mean"] == 0).all()
    for ax in fig.axes:
        assert ax.get_ylim() == (0, pytest.approx(50 * 11 / 12))
