from itertools import pairwise

import numpy as np
import pytest
from made_up_tries import MODELS, two_models

from neuroreg.analysis.convergence import convergence
from neuroreg.errors import InputError
from neuroreg.figures.convergence import convergence_figure
from neuroreg.figures.style import save_figure
from neuroreg.files.storage import read_csv, write_csv
from neuroreg.robustness.attack_result import NORMS


def test_the_figure_draws_every_curve_and_dots_what_lacks_hard_samples(tmp_path):
    table = convergence(two_models(failing=0.8), MODELS)
    write_csv(tmp_path / "convergence.csv", table)
    fig = convergence_figure(read_csv(tmp_path / "convergence.csv"), MODELS, "Simulated scans.")
    assert len(fig.axes) == 12
    for ax, (axis, norm) in zip(
        fig.axes,
        [(axis, norm) for axis in ("repetitions", "settings", "budget") for norm in NORMS],
        strict=True,
    ):
        assert len(ax.lines) == 3 * len(MODELS)
        means, bounds = ax.lines[: 2 * len(MODELS)], ax.lines[2 * len(MODELS) :]
        for dotted, solid, bound, model in zip(means[::2], means[1::2], bounds, MODELS, strict=True):
            chosen = (table["norm"] == norm) & (table["axis"] == axis) & (table["model"] == model)
            rows = table[chosen]
            late = (rows["not_found"] - rows["not_found"].iloc[-1]) > 0.01 * rows["n_correct"]
            np.testing.assert_array_equal(bound.get_ydata(), rows["bound"])
            assert (rows["bound"].diff().dropna() <= 1e-12).all()  # unlike the mean, it never rises
            assert dotted.get_linestyle() == ":"
            np.testing.assert_array_equal(solid.get_ydata(), rows.loc[~late, "mean"])
            assert len(dotted.get_ydata()) == late.sum() + 1
    assert [text.get_text() for text in fig.texts if text.get_gid() == "note"] == ["Simulated scans."]
    save_figure(tmp_path / "convergence.pdf", fig)
    assert (tmp_path / "convergence.pdf").read_bytes().startswith(b"%PDF")


def test_a_single_repetition_has_no_row():
    table = convergence(two_models(), MODELS)
    once = table[(table["axis"] != "repetitions") | (table["count"] == 1)]
    fig = convergence_figure(once, MODELS)
    assert [ax.get_xlabel() for ax in fig.axes] == ["Settings, at random"] * 4 + ["Passes"] * 4
    assert [ax.get_title() for ax in fig.axes[:4]] == [
        ax.get_title() for ax in convergence_figure(table, MODELS).axes[:4]
    ]


@pytest.mark.parametrize(("first", "last"), [(1, 3), (150, 1100), (20, 40_000), (300, 3_000_000)])
def test_numbers_on_an_axis_leave_each_other_room(first, last):
    table = convergence(two_models(), MODELS)
    rows = table["axis"] == "budget"
    table.loc[rows, "passes"] = np.geomspace(first, last, rows.sum()).round()
    fig = convergence_figure(table, MODELS, "")
    fig.draw_without_rendering()
    for ax in fig.axes:
        low, high = ax.get_xlim()
        labels = [
            label
            for minor in (False, True)
            for tick, label in zip(ax.get_xticks(minor=minor), ax.get_xticklabels(minor=minor), strict=True)
            if label.get_text() and low <= tick <= high
        ]
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
        assert boxes
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_the_figure_needs_every_model():
    table = convergence(two_models(), MODELS)
    with pytest.raises(InputError, match="expected also shuffle"):
        convergence_figure(table, MODELS | {"shuffle": "Shuffle"})
