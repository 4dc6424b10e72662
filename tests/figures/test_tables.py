import re

import numpy as np
import pandas as pd
import pytest

from neuroreg.errors import InputError
from neuroreg.figures.tables import PAPER_TABLE_1, table1, table2

INF = float("inf")

# Two models, two seeds, four samples: (distance, attack); None is a misclassified sample.
RUNS = {
    ("none", 1): [(1.0, "pgd"), (3.0, "ddn"), None, (2.0, "pgd")],
    ("none", 2): [(2.0, "pgd"), None, None, (4.0, "ddn")],
    ("neural", 1): [(5.0, "ddn"), (INF, ""), None, (7.0, "ddn")],
    ("neural", 2): [(6.0, "ddn"), (INF, ""), (INF, ""), (8.0, "pgd")],
}


def distances() -> pd.DataFrame:
    rows = []
    for (model, seed), entries in RUNS.items():
        for norm, scale in (("l0", 1.0), ("l1", 1.0), ("l2", 0.5), ("linf", 0.25)):
            for sample, entry in enumerate(entries):
                distance, attack = entry or (0.0, "")
                head = (model, seed, sample + 10, 3, entry is not None)
                rows.append((*head, norm, distance * scale, 9.0, attack))
    columns = ["model", "seed", "sample", "label", "correct", "norm", "distance", "largest", "attack"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)


def runs(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(
        rows,
        columns=["model", "alpha", "seed", "gamma_1", "gamma_5", "gamma_9", "gamma_13", "gamma_17", "epoch"],
    )


def test_table1_means_over_seeds_beside_the_papers_values():
    rng = np.random.default_rng(0)
    gammas = rng.dirichlet(np.ones(5), size=5)
    alphas, seeds = [8.0, 8.0, 8.0, 20.0, 0.0], [1, 2, 3, 1, 1]
    frame = runs([("m", a, s, *g, 39) for a, s, g in zip(alphas, seeds, gammas, strict=True)])
    table = table1(frame.sample(frac=1, random_state=1))
    assert list(table["alpha"]) == [0.0, 8.0, 20.0]
    assert list(table["seeds"]) == [1, 3, 1]
    mine = table[["g1", "g5", "g9", "g13", "g17"]].to_numpy()
    np.testing.assert_allclose(mine, [gammas[4], (gammas[0] + gammas[1] + gammas[2]) / 3, gammas[3]])
    papers = table[[f"paper_g{k}" for k in (1, 5, 9, 13, 17)]].to_numpy()
    np.testing.assert_array_equal(papers, [[0.2] * 5, [0, 0.33, 0.67, 0, 0], [np.nan] * 5])


def test_the_papers_table_1_has_weights_that_sum_to_one():
    assert set(PAPER_TABLE_1) == {0, 2, 4, 8, 16, 32}
    assert all(sum(row) == pytest.approx(1) for row in PAPER_TABLE_1.values())


def test_table1_of_a_resnet34_names_its_own_layers():
    frame = pd.DataFrame({"model": ["m"], "alpha": [2.0], "seed": [1], "gamma_15": [0.25], "gamma_7": [0.75]})
    table = table1(frame)
    assert list(table.columns)[2:5] == ["g7", "g15", "paper_g1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.rename(columns={"alpha": "alfa"}), "expected also alpha"),
        (lambda f: f.filter(regex="^(?!gamma)"), "expected also gamma_1, gamma_5"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: pd.concat([f, f]), "more than one row for alpha 2.0, seed 1"),
        (lambda f: f.assign(gamma_5=np.nan), "gamma_5 has 1 gaps"),
        (lambda f: f.assign(alpha="two"), "expected numbers"),
    ],
)
def test_table1_refuses_what_does_not_fit(change, message):
    frame = runs([("m", 2.0, 1, 0, 1, 0, 0, 0, 39)])
    with pytest.raises(InputError, match=message) as caught:
        table1(change(frame))
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))


def test_table2_against_numpy():
    table = table2(distances(), {"neural": "Neural", "none": "None"}).set_index(["norm", "model"])
    assert list(table.index[:2]) == [("l0", "neural"), ("l0", "none")]
    none = table.loc[("l1", "none")]
    assert none["mean"] == pytest.approx(np.mean([1, 3, 0, 2, 2, 0, 0, 4]))
    assert none["median"] == pytest.approx(np.mean([np.median([1, 3, 0, 2]), np.median([2, 0, 0, 4])]))
    assert none["mean_low"] < none["mean"] < none["mean_high"]
    assert none["mean_correct"] == pytest.approx(np.mean([np.mean([1, 3, 2]), np.mean([2, 4])]))
    assert none["median_correct"] == pytest.approx(np.mean([np.median([1, 3, 2]), np.median([2, 4])]))
    assert (none["seeds"], none["n"], none["n_correct"], none["not_found"]) == (2, 8, 5, 0)
    assert none["success"] == 1
    assert (none["wins_pgd"], none["wins_ddn"]) == (3, 2)
    np.testing.assert_allclose(table.loc[("linf", "none"), "mean"], none["mean"] / 4)


def test_table2_counts_failures_instead_of_dropping_them():
    neural = table2(distances()).set_index(["norm", "model"]).loc[("l1", "neural")]
    assert neural["label"] == "neural"
    assert (neural["not_found"], neural["n"], neural["n_correct"]) == (3, 8, 7)
    assert neural["success"] == pytest.approx(4 / 7)
    assert neural["mean"] == pytest.approx(np.mean([np.mean([5, 0, 7]), np.mean([6, 8])]))
    # Seeds [5, inf, 0, 7] and [6, inf, inf, 8]: medians 6 and inf.
    assert neural["median"] == INF
    assert neural["median_correct"] == INF
    # The others count as 9, the largest distance possible.
    assert neural["bound"] == pytest.approx(np.mean([5, 9, 0, 7, 6, 9, 9, 8]))
    assert neural["bound_low"] < neural["bound"] < neural["bound_high"]
    correct = [np.mean([5, 9, 7]), np.mean([6, 9, 9, 8])]
    assert neural["bound_correct"] == pytest.approx(np.mean(correct))
    assert (neural["wins_ddn"], neural["wins_pgd"]) == (3, 1)


def test_table2_says_nan_where_no_sample_counts():
    frame = distances().assign(correct=False, distance=0.0, attack="")
    row = table2(frame).iloc[0]
    assert (row["mean"], row["n_correct"]) == (0, 0)
    assert np.isnan(row["mean_correct"])
    assert np.isnan(row["success"])


def test_table2_reads_its_own_csv_back(tmp_path):
    distances().to_csv(tmp_path / "distances.csv", index=False)
    pd.testing.assert_frame_equal(table2(pd.read_csv(tmp_path / "distances.csv")), table2(distances()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="attack"), "expected also attack"),
        (lambda f: f.rename(columns={"distance": "distances"}), "expected also distance"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f[f["norm"] != "l2"], "norm l2 has 0 samples"),
        (lambda f: f[~((f["sample"] == 10) & (f["seed"] == 2))], "expected the same samples everywhere"),
        (lambda f: f.replace({"norm": {"l2": "L2"}}), "has the norm L2"),
        (lambda f: f.assign(distance=-1.0), "expected none below 0"),
        (lambda f: f.assign(correct=False), "misclassified sample has the distance inf"),
        (lambda f: f.assign(largest=3.5), "distance .*; expected at most 3.5, the largest possible"),
        (lambda f: f.assign(largest=INF), "has a largest possible distance of inf; expected a number"),
        (lambda f: f.assign(correct="yes"), "expected True or False"),
        (lambda f: f.assign(distance=np.nan), "gaps"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "more than one row"),
        (lambda f: f[f["model"] != "neural"], "expected also neural"),
    ],
)
def test_table2_refuses_what_does_not_fit(change, message):
    with pytest.raises(InputError, match=message) as caught:
        table2(change(distances()), {"none": "None", "neural": "Neural"})
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))


def test_no_named_model_is_refused():
    with pytest.raises(InputError, match="no model is named"):
        table2(distances(), {})
