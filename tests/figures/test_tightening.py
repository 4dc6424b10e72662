import numpy as np
import pytest
from figure_frames import INF, LABELS, STRONGER, distances, tightened

from neuroreg.errors import InputError
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.tightening import tightening_figure
from neuroreg.robustness.attack_result import NORMS


def test_tightening_draws_both_means_with_fig2s_intervals_and_who_came_closer():
    frame = tightened()
    fig, numbers = tightening_figure(frame, LABELS, STRONGER)
    above, below = fig.axes[:4], fig.axes[4:]
    _, fig2_rows = fig2(frame, LABELS)
    fig2_rows = fig2_rows[(fig2_rows["level"] == "over seeds") & (fig2_rows["samples"] == "all")]
    for norm, means, shares in zip(NORMS, above, below, strict=True):
        for x, model in enumerate(LABELS):
            chosen = (numbers["norm"] == norm) & (numbers["model"] == model)
            row = numbers[chosen].iloc[0]
            part = frame[(frame["norm"] == norm) & (frame["model"] == model)]
            counted = part[np.isfinite(part["distance"])]
            seeds = counted.groupby("seed")
            assert row["mean"] == pytest.approx(seeds["distance"].mean().mean())
            assert row["tightened"] == pytest.approx(seeds["tightened"].mean().mean())
            assert row["ratio"] == pytest.approx(row["tightened"] / row["mean"])
            assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"] <= 1
            assert row["tightened_low"] < row["tightened"] < row["tightened_high"]
            whisker = fig2_rows[(fig2_rows["norm"] == norm) & (fig2_rows["model"] == model)].iloc[0]
            assert (row["mean_low"], row["mean_high"]) == (whisker["low"], whisker["high"])
            assert (row["n"], row["not_found"]) == (len(counted), len(part) - len(counted))
            assert row["tightened_not_found"] == 0
            all_of_them = part["distance"].replace(INF, 50.0)  # the largest distance possible there
            assert row["mean_bound"] == pytest.approx(all_of_them.mean())
            assert row["tightened_bound"] == pytest.approx(part["tightened"].mean())
            assert row["ratio_bound"] == pytest.approx(part["tightened"].mean() / all_of_them.mean())
            assert ("No adversarial found" in means.get_xlabel()) == (norm == "l0")
            bars = means.patches[2 * x : 2 * x + 2]
            assert [bar.get_height() for bar in bars] == [row["mean"], row["tightened"]]
            assert means.texts[x].get_text() == f"{row['ratio']:.2f}"
            tried = counted[counted["correct"]]
            for bar, name in zip(shares.patches[2 * x : 2 * x + 2], STRONGER, strict=True):
                share = (tried[f"distance_{name}"] < tried["distance"]).mean()
                assert bar.get_width() == row[f"closer_{name}"] == pytest.approx(share)
    assert [text.get_text() for text in below[0].get_yticklabels()] == STRONGER


def test_tightening_where_the_papers_attacks_found_nothing():
    frame = tightened(seeds=1)
    frame.loc[frame["model"] == "none", "distance"] = INF
    frame.loc[frame["model"] == "none", "correct"] = True
    fig, numbers = tightening_figure(frame, LABELS, STRONGER)
    row = numbers[(numbers["model"] == "none") & (numbers["norm"] == "l2")].iloc[0]
    assert (row["n"], row["not_found"], row["tightened_not_found"]) == (0, 12, 0)
    assert row[["mean", "ratio", "ratio_low", "closer_sigma_zero"]].isna().all()
    assert len(fig.axes[0].texts) == 2


def test_tightening_refuses_what_is_no_tightening():
    with pytest.raises(InputError, match=r"^tightening: no attacks; expected entries"):
        tightening_figure(tightened(), LABELS, [])
    with pytest.raises(InputError, match=r"distances: .*; expected also tightened, distance_sigma_zero"):
        tightening_figure(distances(), LABELS, ["sigma_zero"])
    frame = tightened()
    frame["tightened"] += 1.0
    with pytest.raises(InputError, match="a tightened distance is above the paper's"):
        tightening_figure(frame, LABELS, STRONGER)
