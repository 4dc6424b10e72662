import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from figure_frames import LABELS, conditions, legend, noise, sweep

from neuroreg.analysis.intervals import share
from neuroreg.errors import InputError
from neuroreg.figures.noise import fig1, noise_figure


def accuracies(counts, runs):
    """Runs, levels and accuracies as one frame, by pandas."""
    return pd.concat(
        [pd.DataFrame(count.accuracy() | run) for count, run in zip(counts, runs, strict=True)],
        ignore_index=True,
    ).sort_values("sigma")


def test_fig1_draws_each_seed_and_their_mean():
    frame = accuracies(*sweep())
    fig, numbers = fig1(*sweep())
    lines = fig.axes[0].get_lines()
    assert legend(fig) == ["0 (2 seeds)", "2 (1 seed)", "8 (3 seeds)"]
    drawn = iter(lines)
    for alpha, seeds in ((0.0, 2), (2.0, 1), (8.0, 3)):
        ys = []
        for seed in range(1, seeds + 1):
            run = frame[(frame["alpha"] == alpha) & (frame["seed"] == seed)]
            ys.append(run["accuracy"].to_numpy())
            np.testing.assert_allclose(next(drawn).get_xydata(), np.stack([run["sigma"], ys[-1]], axis=1))
        mean = next(drawn)
        np.testing.assert_allclose(mean.get_ydata(), np.mean(ys, axis=0))
        rows = numbers[(numbers["alpha"] == alpha) & (numbers["level"] == "over seeds")]
        np.testing.assert_array_equal(rows["accuracy"], mean.get_ydata())
        assert list(rows["seeds"]) == [seeds] * 3
        assert list(rows["n"]) == [100] * 3
    assert next(drawn, None) is None
    assert (numbers["level"] == "one seed").sum() == len(frame)


def test_noise_draws_mean_and_interval():
    counts, runs = conditions()
    fig, numbers = noise_figure(counts, runs, LABELS)
    frame = accuracies(counts, runs)
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
            # No other condition has these seeds, so that each stands alone.
            own = [count for count, run in zip(counts, runs, strict=True) if run["model"] == model]
            values = np.stack([count.correct / count.draws for count in own], axis=1)
            interval = share(values[np.argsort(own[0].sigma)][:, None], 0)
            np.testing.assert_allclose(rows[["low", "high"]].T, [interval.low, interval.high])
        else:
            assert rows[["sem", "low", "high"]].isna().all(axis=None)
    bands = ax.collections
    assert len(bands) == 2  # a single seed has no interval
    neural = numbers[(numbers["model"] == "neural") & (numbers["level"] == "over seeds")]
    ys = bands[1].get_paths()[0].vertices[:, 1]
    for y in (*neural["low"], *neural["high"]):
        assert np.isclose(ys, y).any()
    assert numbers["low"].dropna().ge(0).all()
    assert numbers["high"].dropna().le(1).all()


def test_conditions_that_share_seeds_are_pooled():
    counts, runs = conditions()
    chosen = [index for index, run in enumerate(runs) if run["seed"] == 1 or run["model"] == "neural"]
    runs = [runs[index] for index in chosen]
    twin = [run | {"model": "twin"} for run in runs if run["model"] == "neural"]
    counts = [counts[index] for index in chosen]
    twins = [count for count, run in zip(counts, runs, strict=True) if run["model"] == "neural"]
    _, alone = noise_figure(counts, runs, {"neural": "Neural"})
    _, pooled = noise_figure([*counts, *twins], [*runs, *twin], {"neural": "Neural", "twin": "Twin"})
    # A twin's seeds do the same: nothing is learnt from it.
    rows = pooled[pooled["model"] == "neural"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, alone)
    # One whose seeds agree says that seeds vary less.
    _, pooled = noise_figure([*counts, *twins[:1] * 3], [*runs, *twin], {"neural": "Neural", "twin": "Twin"})
    assert (pooled["low"].dropna()[:3].to_numpy() > alone["low"].dropna().to_numpy())[:2].all()


def test_a_model_apart_has_the_interval_that_it_has_alone_and_moves_no_other():
    seeds = {"none": 3, "neural": 3, "shuffle": 3}
    counts, runs = noise(seeds, dict.fromkeys(seeds, 0.0))
    _, apart = noise_figure(counts, runs, LABELS, apart=["shuffle"])
    for names in (["shuffle"], ["none", "neural"]):
        _, alone = noise_figure(counts, runs, {name: LABELS[name] for name in names})
        pd.testing.assert_frame_equal(apart[apart["model"].isin(names)].reset_index(drop=True), alone)


def test_noise_leaves_out_models_that_are_not_named():
    fig, numbers = noise_figure(*conditions(), {"neural": "Neural"})
    assert len(fig.axes[0].get_lines()) == 1
    assert set(numbers["model"]) == {"neural"}


def first(change):
    """Counts and runs whose first counts are changed."""
    return lambda counts, runs: ([change(counts[0]), *counts[1:]], runs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda counts, runs: ([], []), "expected also (model|none)"),
        (first(lambda count: replace(count, correct=count.correct + 5)), r"expected 0 to 5"),
        (lambda counts, runs: ([*counts, counts[0]], [*runs, runs[0]]), "more than one row"),
        (first(lambda count: replace(count, sigma=count.sigma + 1)), "has other noise levels"),
        (first(lambda count: replace(count, draws=7)), "has other noise levels, images or draws"),
        (
            lambda counts, runs: ([replace(count, sigma=count.sigma - 1) for count in counts], runs),
            "sigma .*-1.0.*; expected one draw or more, at numbers of at least 0",
        ),
    ],
)
def test_noise_counts_that_do_not_fit_are_refused(change, message):
    for draw in (lambda: fig1(*change(*sweep())), lambda: noise_figure(*change(*conditions()), LABELS)):
        with pytest.raises(InputError, match=message) as caught:
            draw()
        assert re.fullmatch(r"[^\n]+\.", str(caught.value))


def test_fig1_refuses_two_models_of_one_alpha():
    with pytest.raises(InputError, match="neural, shuffle share an alpha"):
        fig1(*conditions())


def test_a_model_without_rows_is_named():
    with pytest.raises(InputError, match="expected also vgg"):
        noise_figure(*conditions(), {**LABELS, "vgg": "VGG"})


def test_one_level_of_noise_is_a_point():
    counts, runs = sweep()
    few = [replace(one, sigma=one.sigma[:1], correct=one.correct[:1]) for one in counts]
    fig, _ = fig1(few, runs)
    assert {line.get_marker() for line in fig.axes[0].lines} == {"o"}
    fig, _ = fig1(counts, runs)
    assert {line.get_marker() for line in fig.axes[0].lines} == {"None"}
