import re

import numpy as np
import pandas as pd
import pytest
from figure_frames import LABELS, conditions, legend, sweep

from neuroreg.errors import InputError
from neuroreg.figures.noise import fig1, noise_figure


def test_fig1_draws_each_seed_and_their_mean():
    frame = sweep()
    fig, numbers = fig1(frame)
    lines = fig.axes[0].get_lines()
    assert legend(fig) == ["0 (2 seeds)", "2 (1 seed)", "8 (3 seeds)"]
    drawn = iter(lines)
    for alpha, seeds in ((0.0, 2), (2.0, 1), (8.0, 3)):
        ys = []
        for seed in range(1, seeds + 1):
            run = frame[(frame["alpha"] == alpha) & (frame["seed"] == seed)].sort_values("sigma")
            ys.append(run["accuracy"].to_numpy())
            np.testing.assert_array_equal(next(drawn).get_xydata(), np.stack([run["sigma"], ys[-1]], axis=1))
        mean = next(drawn)
        np.testing.assert_allclose(mean.get_ydata(), np.mean(ys, axis=0))
        rows = numbers[(numbers["alpha"] == alpha) & (numbers["level"] == "over seeds")]
        np.testing.assert_array_equal(rows["accuracy"], mean.get_ydata())
        assert list(rows["seeds"]) == [seeds] * 3
    assert next(drawn, None) is None
    assert (numbers["level"] == "one seed").sum() == len(frame)


def test_noise_draws_mean_and_sem():
    frame = conditions()
    fig, numbers = noise_figure(frame, LABELS)
    ax = fig.axes[0]
    assert legend(fig) == ["None (2 seeds)", "Shuffle (1 seed)", "Neural (3 seeds)"]
    for line, model in zip(ax.get_lines(), LABELS, strict=True):
        table = (
            frame[frame["model"] == model].pivot(index="seed", columns="sigma", values="accuracy").to_numpy()
        )
        np.testing.assert_allclose(line.get_ydata(), table.mean(axis=0))
        rows = numbers[(numbers["model"] == model) & (numbers["level"] == "over seeds")]
        if len(table) > 1:
            np.testing.assert_allclose(rows["sem"], table.std(axis=0, ddof=1) / np.sqrt(len(table)))
        else:
            assert rows["sem"].isna().all()
    bands = ax.collections
    assert len(bands) == 2  # a single seed has no SEM
    neural = numbers[(numbers["model"] == "neural") & (numbers["level"] == "over seeds")]
    ys = bands[1].get_paths()[0].vertices[:, 1]
    for y in (*(neural["accuracy"] - neural["sem"]), *(neural["accuracy"] + neural["sem"])):
        assert np.isclose(ys, y).any()


def test_noise_leaves_out_models_that_are_not_named():
    fig, numbers = noise_figure(conditions(), {"neural": "Neural"})
    assert len(fig.axes[0].get_lines()) == 1
    assert set(numbers["model"]) == {"neural"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.rename(columns={"sigma": "sigmas"}), "expected also sigma"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f.assign(accuracy=f["accuracy"] * 100), r"expected values in \[0, 1\]"),
        (lambda f: f.assign(sigma=-1.0), "expected values of 0 or more"),
        (lambda f: f.assign(accuracy="high"), "expected numbers"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "more than one row"),
        (lambda f: f[~((f["seed"] == 2) & (f["sigma"] == 0.05))], "differ in their sigma"),
    ],
)
def test_noise_frames_that_do_not_fit_are_refused(change, message):
    for draw in (lambda: fig1(change(sweep())), lambda: noise_figure(change(conditions()), LABELS)):
        with pytest.raises(InputError, match=message) as caught:
            draw()
        assert re.fullmatch(r"[^\n]+\.", str(caught.value))


def test_fig1_refuses_two_models_of_one_alpha():
    with pytest.raises(InputError, match="neural, shuffle share an alpha"):
        fig1(conditions())


def test_a_model_without_rows_is_named():
    with pytest.raises(InputError, match="expected also vgg"):
        noise_figure(conditions(), {**LABELS, "vgg": "VGG"})
