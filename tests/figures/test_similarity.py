import re

import numpy as np
import pytest
from figure_frames import correlations, effective, similarities

from neuroreg.errors import InputError
from neuroreg.figures.similarity import cluster_order, similarity_figure
from neuroreg.figures.style import save_figure
from neuroreg.similarity.oracle import MODEL, SINGLE_TRIAL


def test_similarity_draws_the_pairs_and_their_correlation():
    matrices = similarities()
    fig, numbers = similarity_figure(
        matrices, similarities(20)["model"], correlations(), effective(), scan="s1"
    )
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
        # The paper's number is set beside the scan's, which may be a mean over choices of trials.
        known = correlations()
        of_scan = known[(known["scan"] == "s1") & (known["comparison"] == comparison)]["r"].item()
        assert ax.get_title() == f"r = {of_scan:.2f} (paper {paper:.2f})"
        told = [text.get_text() for text in ax.texts]
        assert told == ([] if f"{of_scan:.2f}" == f"{r:.2f}" else [f"these trials: {r:.2f}"])


def test_similarity_shows_three_matrices_in_one_order_on_one_scale():
    matrices = similarities()
    fig, _ = similarity_figure(matrices, similarities(20)["model"], correlations(), effective(), scan="s1")
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
    fig, numbers = similarity_figure(similarities(), pool, correlations(), effective())
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


def test_similarity_draws_the_share_of_effective_neurons_of_every_scan_and_says_what_it_was_given():
    fig, numbers = similarity_figure(similarities(), similarities(20)["model"], correlations(), effective())
    (ax,) = [ax for ax in fig.axes if ax.get_xlabel() == "Effective neurons (%)"]
    std, source, limit = (line.get_xdata() for line in ax.get_lines())
    np.testing.assert_allclose(std, [45, 60])
    np.testing.assert_allclose(source, [2, 25])
    np.testing.assert_allclose(limit, 5)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["units: std", "units: source"]
    low, high = ax.get_xlim()
    assert low < 2
    assert high == 100
    told = numbers[numbers["panel"] == "neurons"]
    assert told["r"].isna().all()
    given = effective()
    for column in given:
        assert told[column].tolist() == given[column].tolist()


@pytest.mark.parametrize("number", [-1.0, 101.0])
def test_more_effective_neurons_than_there_are_are_refused(number):
    with pytest.raises(InputError, match="expected 0 to the number of neurons"):
        similarity_figure(
            similarities(), np.eye(4), correlations(), effective().assign(neurons=100, effective=number)
        )


@pytest.mark.parametrize("scans", [0, 2])
def test_similarity_without_repeated_images_shows_the_rest(tmp_path, scans):
    frame = correlations().iloc[len(correlations()) - 1 :].iloc[: min(scans, 1)]
    fig, numbers = similarity_figure(None, similarities(20)["model"], frame, effective(), note="note")
    assert fig.axes[0].get_title() == "Pool: 20 images"
    assert len(fig.axes) == 2 + min(scans, 1)
    columns = ["panel", "scan", "comparison", "r", "paper", "units", "neurons", "effective"]
    assert list(numbers.columns) == columns
    assert numbers["r"].dropna().tolist() == frame["r"].tolist()
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
        similarity_figure(matrices, pool, frame, effective())
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))
