import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import docutils.core
import jinja2
import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

from neuroreg.analysis.distances import distance_matrix
from neuroreg.analysis.intervals import percentile_interval
from neuroreg.errors import InputError
from neuroreg.figures.examples import SAMPLES, choose_examples, examples_figure
from neuroreg.figures.fig1 import fig1
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.noise import noise_figure
from neuroreg.figures.similarity import cluster_order, similarity_figure
from neuroreg.figures.style import (
    alpha_colors,
    condition_colors,
    new_figure,
    save_figure,
    stamp_simulated,
    style,
)
from neuroreg.figures.survival import survival_figure
from neuroreg.figures.tightening import tightening_figure
from neuroreg.figures.training import training_figure
from neuroreg.robustness.attack_result import Closest
from neuroreg.seeds import derive_seed
from neuroreg.similarity.oracle import MODEL, SINGLE_TRIAL

INF = float("inf")
NOTE = "Simulated scans: a made-up cortex."
LABELS = {"none": "None", "shuffle": "Shuffle", "neural": "Neural"}
NORMS = ("l0", "l1", "l2", "linf")
REPORT = Path(__file__).parents[2] / "report"


# ---- sample frames -------------------------------------------------------------------------------


def noise(seeds: dict[str, int], alphas: dict[str, float]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (model, alphas[model], seed, sigma, rng.random(), 100)
        for model, count in seeds.items()
        for seed in range(1, count + 1)
        for sigma in (0.0, 0.05, 0.1)
    ]
    frame = pd.DataFrame(rows, columns=["model", "alpha", "seed", "sigma", "accuracy", "n"])
    return frame.sample(frac=1, random_state=0)


def sweep() -> pd.DataFrame:
    return noise({"a8": 3, "none": 2, "a2": 1}, {"none": 0.0, "a2": 2.0, "a8": 8.0})


def conditions() -> pd.DataFrame:
    return noise({"neural": 3, "none": 2, "shuffle": 1}, {"none": 0.0, "neural": 20.0, "shuffle": 20.0})


def distances(failures: bool = True, seeds: int = 3, samples: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    parts = []
    for scale, model in enumerate(LABELS, start=1):
        for seed in range(1, seeds + 1):
            correct = np.arange(samples) != seed
            for norm in NORMS:
                distance = np.where(correct, scale * rng.gamma(2, 1, samples), 0)
                if failures and norm == "l0" and model == "neural":
                    distance[[0, 5]] = INF
                parts.append(
                    pd.DataFrame(
                        {
                            "model": model,
                            "seed": seed,
                            "sample": np.arange(samples),
                            "label": 0,
                            "correct": correct,
                            "norm": norm,
                            "distance": distance,
                            "attack": np.where(correct & np.isfinite(distance), "pgd", ""),
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


STRONGER = ["apgd_t_l2", "sigma_zero"]


def tightened(failures: bool = True, seeds: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    frame = distances(failures, seeds)
    for name in STRONGER:
        frame[f"distance_{name}"] = frame["distance"].replace(INF, 2.0) * rng.uniform(0.8, 1.4, len(frame))
    frame["tightened"] = frame[["distance", *(f"distance_{name}" for name in STRONGER)]].min(axis=1)
    frame["tightened_by"] = "unused"
    return frame


def histories() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for model in ("none", "neural_a2", "neural_a8", "shuffle", "neural_a32"):
        for seed in (1, 2):
            for epoch in range(1, 5):
                loss, accuracy = rng.random(3), rng.random()
                similarity = np.nan if model == "none" else loss[1]
                gamma = rng.dirichlet(np.ones(5))
                rows.append((model, seed, epoch, loss[0], similarity, loss[2], accuracy, *gamma))
    columns = [
        "model",
        "seed",
        "epoch",
        "task_loss",
        "similarity_loss",
        "validation_loss",
        "validation_accuracy",
    ]
    return pd.DataFrame(rows, columns=[*columns, *(f"gamma_{k}" for k in (1, 5, 9, 13, 17))])


def similarities(n: int = 9) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    result = {}
    for name in ("single_trial", "averaged", "model", "others_averaged"):
        vectors = rng.normal(size=(n, 4))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        result[name] = vectors @ vectors.T
    return result


def correlations() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("s1", SINGLE_TRIAL, 0.3),
            ("s1", MODEL, 0.7),
            ("s2", SINGLE_TRIAL, 0.35),
            ("s1/s2", "between scans", 0.5),
        ],
        columns=["scan", "comparison", "r"],
    )


def closest(seed: int = 4, samples: int = 7) -> dict[str, Closest]:
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (samples, 32, 32), dtype=np.uint8)
    result = {}
    for wrong, model in enumerate(LABELS):
        correct = np.arange(samples) != wrong
        distance, adversarial, predicted, attack = {}, {}, {}, {}
        for norm, order in zip(NORMS, (0, 1, 2, np.inf), strict=True):
            change = 0.01 * rng.normal(size=clean.shape) * correct[:, None, None]
            adversarial[norm] = (clean / 255 + change).astype(np.float32)
            distance[norm] = np.linalg.norm(change.reshape(samples, -1), order, axis=1)
            predicted[norm] = np.full(samples, 3)
            attack[norm] = np.where(correct, "pgd", "").astype(object)
        if model == "neural" and samples > 6:
            adversarial["l2"][6], distance["l2"][6], predicted["l2"][6] = np.nan, INF, -1
        label, sample = np.full(samples, 1), 10 * np.arange(samples)
        result[model] = Closest(
            sample, label, clean, correct, distance, distance, adversarial, predicted, attack
        )
    return result


CLASSES = np.array(["airplane", "automobile", "bird", "cat"])
FIGURES = {
    "survival": lambda note="": survival_figure(distances(), LABELS, note),
    "examples": lambda note="": examples_figure(closest(), LABELS, CLASSES, note),
    "fig1": lambda note="": fig1(sweep(), note),
    "noise": lambda note="": noise_figure(conditions(), LABELS, note),
    "fig2": lambda note="": fig2(distances(), LABELS, note),
    "similarity": lambda note="": similarity_figure(
        similarities(), similarities(20)["model"], correlations(), note
    ),
    "training": lambda note="": training_figure(histories(), note),
    "tightening": lambda note="": tightening_figure(tightened(), LABELS, STRONGER, note),
}


def legend(fig: matplotlib.figure.Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


# ---- every figure --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_same_numbers_same_pdf_bytes(name, tmp_path):
    for copy in ("a", "b"):
        fig, _ = FIGURES[name](NOTE)
        save_figure(tmp_path / f"{copy}.pdf", fig)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"CreationDate" not in content
    assert content == (tmp_path / "b.pdf").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "b.pdf"]


@pytest.mark.parametrize("name", FIGURES)
def test_the_note_stands_on_the_figure_and_only_if_there_is_one(name):
    with_note, numbers = FIGURES[name](NOTE)
    without, same = FIGURES[name]()
    assert [text.get_text() for text in with_note.texts] == [NOTE]
    assert without.texts == []
    pd.testing.assert_frame_equal(numbers, same)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_and_the_note_covers_nothing(name):
    fig, _ = FIGURES[name](NOTE)
    with style():
        fig.draw_without_rendering()
    top_of_note = fig.texts[0].get_window_extent().ymax
    for ax in fig.axes:
        box = ax.get_tightbbox()
        assert box.x0 >= -1
        assert box.x1 <= fig.bbox.x1 + 1
        assert box.y1 <= fig.bbox.y1 + 1
        assert box.y0 >= top_of_note - 1


def test_figures_import_no_torch_and_leave_pyplot_alone():
    code = (
        "import sys, neuroreg.figures.fig1, neuroreg.figures.fig2, neuroreg.figures.training,"
        "neuroreg.figures.similarity, neuroreg.figures.noise, neuroreg.figures.survival,"
        "neuroreg.figures.examples, neuroreg.figures.tightening, matplotlib.pyplot as plt;"
        "assert 'torch' not in sys.modules;"
        "neuroreg.figures.style.new_figure(1, 1); assert not plt.get_fignums()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- style ---------------------------------------------------------------------------------------


def test_a_long_note_is_wrapped_within_the_figure():
    with style():
        fig = new_figure(1, 2)
        fig.add_subplot()
        stamp_simulated(fig, "simulated " * 40)
        fig.draw_without_rendering()
        box = fig.texts[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= fig.bbox.x1
        assert box.y1 <= fig.axes[0].get_tightbbox().y0 + 1


def test_colours_of_conditions_are_fixed_and_distinct():
    alone = condition_colors(["Neural"])[0]
    names = [
        "None",
        "shuffle",
        "neural_a2",
        "Neural, alpha 20",
        "VGG",
        "Raw",
        *(f"other {k}" for k in range(9)),
    ]
    colors = condition_colors(names)
    assert colors[2] == alone
    assert len(set(colors)) == len(names)


def test_colours_of_alphas_darken_with_alpha():
    colors = alpha_colors([32.0, 0.0, 8.0, 0.0])
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (colors[a] for a in (0.0, 8.0, 32.0))]
    assert light == sorted(light, reverse=True)
    assert light[0] < 0.85  # still shows on white


def test_saving_under_a_name_that_is_no_figure_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a figure's name"):
        save_figure(tmp_path / "a.txt", new_figure(1, 1))
    assert list(tmp_path.iterdir()) == []


def test_the_users_own_matplotlib_settings_change_nothing(tmp_path):
    save_figure(tmp_path / "a.pdf", FIGURES["noise"]()[0])
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.facecolor": "red"}):
        save_figure(tmp_path / "b.pdf", FIGURES["noise"]()[0])
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


# ---- fig1 and noise ------------------------------------------------------------------------------


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


# ---- fig2 ----------------------------------------------------------------------------------------


def test_fig2_draws_means_intervals_and_every_seed():
    frame = distances()
    fig, numbers = fig2(frame, LABELS)
    assert len(fig.axes) == 4
    for ax, norm in zip(fig.axes, NORMS, strict=True):
        assert [text.get_text() for text in ax.get_xticklabels()] == list(LABELS.values())
        for model, bar, dots, whisker in zip(LABELS, ax.patches, ax.get_lines(), ax.collections, strict=True):
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
    fig, numbers = fig2(distances(), LABELS)
    assert [bool(ax.get_xlabel()) for ax in fig.axes] == [True, False, False, False]
    # 3 seeds, 11 correct samples each, samples 0 and 5 not found
    assert fig.axes[0].get_xlabel() == "No adversarial found:\nNeural 18 %"
    row = numbers[
        (numbers["norm"] == "l0") & (numbers["model"] == "neural") & (numbers["level"] == "over seeds")
    ]
    assert list(row["not_found"]) == [6, 6]
    assert list(row["n"]) == [36, 33]
    np.testing.assert_allclose(row["success"], 1 - 6 / 33)


def test_fig2_carries_both_conventions():
    frame = distances(failures=False)
    _, numbers = fig2(frame, LABELS)
    over = numbers[numbers["level"] == "over seeds"].set_index(["norm", "model", "samples"])
    l2 = frame[(frame["norm"] == "l2") & (frame["model"] == "shuffle")]
    assert over.loc[("l2", "shuffle", "all"), "mean"] == pytest.approx(l2["distance"].mean())
    kept = l2.loc[l2["correct"], "distance"]
    assert over.loc[("l2", "shuffle", "correct"), "mean"] == pytest.approx(kept.mean())
    assert over.loc[("l2", "shuffle", "correct"), "median"] == pytest.approx(np.median(kept))
    assert over.loc[("l2", "shuffle", "correct"), "n"] == len(kept) == 33


def test_fig2_with_one_seed_and_a_condition_that_no_attack_beats():
    frame = distances(seeds=1)
    beaten = (frame["model"] == "none") & (frame["norm"] == "linf")
    frame.loc[beaten, ["distance", "correct"]] = [INF, True]
    fig, numbers = fig2(frame, LABELS)
    assert len(fig.axes[3].patches) == 2
    assert fig.axes[3].get_xlabel().endswith("\nNone 100 %")
    row = numbers[
        (numbers["model"] == "none") & (numbers["norm"] == "linf") & (numbers["level"] == "over seeds")
    ]
    assert row["mean"].isna().all()
    assert (row["success"] == 0).all()
    assert np.isinf(row["median"]).all()


def test_tightening_draws_both_means_with_fig2s_intervals_and_who_came_closer():
    frame = tightened()
    fig, numbers = tightening_figure(frame, LABELS, STRONGER)
    above, below = fig.axes[:4], fig.axes[4:]
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
            distance, _, _ = distance_matrix(frame, model, norm)
            rng = np.random.default_rng(derive_seed(0, "tightening", norm, model))
            own = percentile_interval(distance, np.ones_like(distance, bool), rng)
            assert (row["mean_low"], row["mean_high"]) == own
            assert (row["n"], row["not_found"]) == (len(counted), len(part) - len(counted))
            assert row["tightened_not_found"] == 0
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


def test_percentile_interval_of_one_seed_is_that_of_a_mean():
    values = np.random.default_rng(4).normal(5, 1, size=(1, 400))
    low, high = percentile_interval(values, np.ones_like(values, bool), np.random.default_rng(0))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_percentile_interval_resamples_seeds_too():
    values = np.repeat([[0.0], [1.0]], 50, axis=1)  # all of the spread is between seeds
    low, high = percentile_interval(values, np.ones_like(values, bool), np.random.default_rng(0))
    assert (low, high) == (0, 1)


def test_percentile_interval_against_plain_resampling_with_gaps():
    rng = np.random.default_rng(5)
    values = rng.gamma(2, 1, size=(3, 40))
    values[0, :8] = INF
    chosen = rng.random((3, 40)) < 0.8
    low, high = percentile_interval(values, chosen, np.random.default_rng(0))
    counted = np.where(chosen & np.isfinite(values), values, np.nan)
    means = []
    for _ in range(4000):
        drawn = counted[np.ix_(rng.integers(3, size=3), rng.integers(40, size=40))]
        means.append(np.nanmean(drawn, axis=1).mean())
    np.testing.assert_allclose([low, high], np.percentile(means, [2.5, 97.5]), rtol=0.04)


def test_fig2_interval_depends_on_the_seed_alone():
    first, again, other = (fig2(distances(), LABELS, seed=seed)[1] for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first["low"].equals(other["low"])
    pd.testing.assert_series_equal(first["mean"], other["mean"])


def test_fig2_refuses_a_misspelt_column_and_an_empty_frame():
    with pytest.raises(InputError, match="expected also distance"):
        fig2(distances().rename(columns={"distance": "dist"}), LABELS)
    with pytest.raises(InputError, match="no rows"):
        fig2(distances().iloc[:0], LABELS)


# ---- similarity ----------------------------------------------------------------------------------


def test_similarity_draws_the_pairs_and_their_correlation():
    matrices = similarities()
    fig, numbers = similarity_figure(matrices, similarities(20)["model"], correlations(), scan="s1")
    rows, columns = np.triu_indices(9, 1)
    scatters = {ax.get_xlabel(): ax for ax in fig.axes}
    for label, reference, name, comparison, paper in (
        ("Other repeats averaged", "others_averaged", "single_trial", SINGLE_TRIAL, 0.39),
        ("Averaged", "averaged", "model", MODEL, 0.73),
    ):
        ax = scatters[label]
        x, y = matrices[reference][rows, columns], matrices[name][rows, columns]
        np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), np.stack([x, y], axis=1))
        r = np.mean((x - x.mean()) * (y - y.mean())) / (x.std() * y.std())
        row = numbers[(numbers["panel"] == "scatter") & (numbers["comparison"] == comparison)].iloc[0]
        assert row["r"] == pytest.approx(r)
        assert row["scan"] == "s1"
        assert row["paper"] == paper
        assert ax.get_title() == f"r = {r:.2f} (paper {paper:.2f})"


def test_similarity_shows_three_matrices_in_one_order_on_one_scale():
    matrices = similarities()
    fig, _ = similarity_figure(matrices, similarities(20)["model"], correlations(), scan="s1")
    assert fig.axes[0].get_ylabel() == "9 oracle images\nof scan s1"
    images = [ax.get_images()[0] for ax in fig.axes if ax.get_images()]
    order = cluster_order(matrices["averaged"])
    assert sorted(order) == list(range(9))
    for image, name in zip(images, ("single_trial", "averaged", "model"), strict=True):
        np.testing.assert_array_equal(image.get_array(), matrices[name][order][:, order])
        assert image.get_clim() == images[0].get_clim()


def test_cluster_order_brings_groups_together():
    group = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 5))
    similarity = np.where(group[:, None] == group, 0.9, 0.1)
    assert (np.diff(group[cluster_order(similarity)]) != 0).sum() == 2


def test_similarity_draws_the_pools_histogram_and_every_scan():
    pool = similarities(20)["model"]
    fig, numbers = similarity_figure(similarities(), pool, correlations())
    (histogram,) = [ax for ax in fig.axes if ax.get_title() == "Pool: 20 images"]
    values, edges, _ = histogram.patches[0].get_data()
    pairs = pool[np.triu_indices(20, 1)]
    np.testing.assert_allclose(values, np.histogram(pairs, bins=edges)[0] / 190)
    assert values.sum() == pytest.approx(1)
    (scans,) = [ax for ax in fig.axes if ax.get_xlabel() == "r (bars: paper)"]
    drawn = [line.get_xdata().tolist() for line in scans.get_lines()]
    assert drawn == [[0.3, 0.35], [0.7], [0.5]]
    given = numbers[numbers["panel"] == "scans"]
    assert given["r"].tolist() == correlations()["r"].tolist()
    np.testing.assert_array_equal(given["paper"], [0.39, 0.73, 0.39, np.nan])


@pytest.mark.parametrize("scans", [0, 2])
def test_similarity_without_repeated_images_shows_the_rest(tmp_path, scans):
    frame = correlations().iloc[len(correlations()) - 1 :].iloc[: min(scans, 1)]
    fig, numbers = similarity_figure(None, similarities(20)["model"], frame, "note")
    assert fig.axes[0].get_title() == "Pool: 20 images"
    assert len(fig.axes) == 1 + min(scans, 1)
    assert list(numbers.columns) == ["panel", "scan", "comparison", "r", "paper"]
    assert numbers["r"].tolist() == frame["r"].tolist()
    save_figure(tmp_path / "figure.pdf", fig)


@pytest.mark.parametrize(
    ("matrices", "pool", "frame", "message"),
    [
        (
            {"model": np.eye(4)},
            np.eye(4),
            correlations(),
            "expected also single_trial, others_averaged, averaged",
        ),
        ({**similarities(), "model": np.eye(4)}, np.eye(4), correlations(), r"\(4, 4\); expected \(9, 9\)"),
        (
            {**similarities(), "model": np.full((9, 9), np.nan)},
            np.eye(4),
            correlations(),
            "81 values not finite",
        ),
        (similarities(), np.ones((3, 4)), correlations(), r"pool: has the shape \(3, 4\)"),
        (similarities(), np.eye(4), correlations().rename(columns={"r": "rho"}), "expected also r"),
        (similarities(), np.eye(4), correlations().iloc[:0], "no rows"),
        (similarities(), np.eye(4), correlations().assign(r=2.0), r"expected values in \[-1, 1\]"),
    ],
)
def test_similarities_that_do_not_fit_are_refused(matrices, pool, frame, message):
    with pytest.raises(InputError, match=message) as caught:
        similarity_figure(matrices, pool, frame)
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))


# ---- training ------------------------------------------------------------------------------------


def test_training_draws_every_run():
    frame = histories()
    fig, numbers = training_figure(frame.sample(frac=1, random_state=0).sort_values("model", kind="stable"))
    by_title = {ax.get_title(): ax for ax in fig.axes}
    for model in ("none", "neural_a32"):
        lines = iter(by_title[model].get_lines())
        for layer in (1, 5, 9, 13, 17):
            for seed in (1, 2):
                run = frame[(frame["model"] == model) & (frame["seed"] == seed)]
                np.testing.assert_array_equal(next(lines).get_ydata(), run[f"gamma_{layer}"])
        assert next(lines, None) is None
    for column in ("Task loss", "Similarity loss", "Validation loss", "Validation accuracy"):
        drawn = np.concatenate([line.get_ydata() for line in by_title[column].get_lines()])
        expected = numbers[column.lower().replace(" ", "_")].to_numpy()
        np.testing.assert_array_equal(drawn, expected)
        np.testing.assert_array_equal(np.sort(drawn), np.sort(frame[column.lower().replace(" ", "_")]))
    assert len(legend(fig)) == 5
    assert len(numbers) == len(frame)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.rename(columns={"task_loss": "loss"}), "expected also task_loss"),
        (lambda f: f.filter(regex="^(?!gamma)"), "expected also gamma_1"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: pd.concat([f, f]), "more than one row"),
    ],
)
def test_histories_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message) as caught:
        training_figure(change(histories()))
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))


# ---- survival ------------------------------------------------------------------------------------


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


# ---- examples ------------------------------------------------------------------------------------


def test_examples_are_the_same_for_all_and_correct_if_possible():
    for seed in range(20):
        chosen = choose_examples(closest(), seed)
        assert len(set(chosen.tolist())) == SAMPLES
        # 0, 1 and 2 are misclassified by a model each, 6 has no adversarial for one.
        assert set(chosen.tolist()) == {3, 4, 5}
    assert {tuple(choose_examples(closest(samples=40), seed)) for seed in (1, 1)} == {
        tuple(choose_examples(closest(samples=40), 1))
    }
    assert not np.array_equal(
        choose_examples(closest(samples=40), 1), choose_examples(closest(samples=40), 2)
    )
    assert choose_examples(closest(samples=2), 0).tolist() == [0, 1]


def test_examples_show_images_adversarials_and_magnified_differences():
    parts = closest(samples=2)
    fig, numbers = examples_figure(parts, LABELS, CLASSES)
    assert len(fig.axes) == 2 * 3 * 9
    assert len(numbers) == 2 * 3 * 4
    factors = numbers.groupby("norm")["factor"].first()
    shown = iter(fig.axes)
    for index in range(2):
        for model in LABELS:
            part = parts[model]
            clean = part.clean[index] / 255
            image = next(shown)
            np.testing.assert_array_equal(image.images[0].get_array(), clean)
            assert image.get_xlabel() == "automobile"
            for norm in NORMS:
                adversarial, difference = next(shown), next(shown)
                np.testing.assert_array_equal(
                    adversarial.images[0].get_array(), part.adversarial[norm][index]
                )
                assert adversarial.get_xlabel() == "cat"
                expected = factors[norm] * (part.adversarial[norm][index] - clean)
                np.testing.assert_allclose(difference.images[0].get_array(), expected)
                assert float(difference.get_xlabel()) == pytest.approx(part.distance[norm][index], rel=6e-3)
                assert difference.images[0].get_clim() == (-1, 1)
    titles = [ax.get_title() for ax in fig.axes[:9]]
    assert titles[2] == f"difference\n× {factors['l0']:g}"


@pytest.mark.parametrize(("largest", "factor"), [(1.0, 1), (0.1, 10), (0.04, 20), (0.51, 1), (0.0025, 200)])
def test_the_factor_fills_the_colour_scale(largest, factor):
    parts = closest(samples=2)
    for part in parts.values():
        part.correct[:] = True
        for norm in NORMS:
            part.clean[:] = 0
            part.adversarial[norm][:] = 0
            part.adversarial[norm][:, 3, 3] = largest
    _, numbers = examples_figure(parts, LABELS, CLASSES)
    np.testing.assert_allclose(numbers["factor"], factor)


def test_examples_without_an_adversarial_say_so():
    parts = closest(samples=2)
    for norm in NORMS:
        parts["neural"].adversarial[norm][1] = np.nan
        parts["neural"].distance[norm][1] = INF
        parts["neural"].predicted[norm][1] = -1
    fig, numbers = examples_figure(parts, LABELS, CLASSES)
    assert sum(ax.get_xlabel() == "none found" for ax in fig.axes) == 4
    assert (numbers.loc[np.isinf(numbers["distance"]), "taken_for"] == "").all()


def test_examples_of_different_samples_are_refused():
    parts = closest() | {"none": closest(seed=5)["none"]}
    with pytest.raises(InputError, match="different samples"):
        examples_figure(parts, LABELS, CLASSES)
    with pytest.raises(InputError, match="no adversarials of neural"):
        examples_figure({"none": parts["none"]}, {"none": "None", "neural": "Neural"}, CLASSES)


# ---- captions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(REPORT.glob("*.rst")), ids=lambda path: path.stem)
@pytest.mark.parametrize("note", ["", NOTE])
def test_captions_render_without_a_complaint(path, note):
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        path.read_text(encoding="utf-8")
    )
    text = template.render(snakemake=SimpleNamespace(params=SimpleNamespace(note=note), config={}))
    complaints = io.StringIO()
    html = docutils.core.publish_string(
        text, writer="html5", settings_overrides={"warning_stream": complaints}
    )
    assert complaints.getvalue() == ""
    if path.stem != "workflow":
        assert (NOTE in html.decode()) == bool(note)
