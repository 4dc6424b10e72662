import numpy as np
import pandas as pd
import pytest
from figure_frames import INF, LABELS, distances

from neuroreg.figures.survival import survival_figure


def test_survival_counts_what_no_attack_reached():
    frame = distances()
    fig, numbers = survival_figure(frame, LABELS)
    assert len(fig.axes) == 4
    assert [len(ax.lines) for ax in fig.axes] == [3 * (3 + 1)] * 4
    assert numbers["accuracy"].between(0, 1).all()
    single = numbers[numbers["level"] == "one seed"]
    for row in single.sample(200, random_state=0).itertuples():
        run = frame[(frame["model"] == row.model) & (frame["seed"] == row.seed) & (frame["norm"] == row.norm)]
        assert row.accuracy == pytest.approx((run["distance"] > row.distance).mean())
        assert row.n == 12
    # Each run has one misclassified sample of twelve.
    np.testing.assert_allclose(single.loc[single["distance"] == 0, "accuracy"], 11 / 12)
    mean = numbers[numbers["level"] == "over seeds"].set_index(["norm", "model", "distance"])["accuracy"]
    expected = single.groupby(["norm", "model", "distance"])["accuracy"].mean()
    pd.testing.assert_series_equal(mean.sort_index(), expected.sort_index())
    assert (numbers.loc[numbers["norm"] == "l0", "distance"] % 1 == 0).all()
    # Neural has two samples that no attack reached under L0.
    last = single[(single["norm"] == "l0") & (single["model"] == "neural")].groupby("seed")["accuracy"].last()
    assert (last >= 2 / 12 - 1e-12).all()


def test_survival_where_nothing_was_found():
    frame = distances(failures=False)
    frame.loc[frame["correct"], "distance"] = INF
    _, numbers = survival_figure(frame, LABELS)
    assert numbers["accuracy"].to_numpy() == pytest.approx(11 / 12)
