import numpy as np
import pandas as pd
import pytest

from neuroreg.errors import InputError
from neuroreg.figures.latex import to_latex
from neuroreg.figures.scores import score_table
from neuroreg.files.storage import read_csv, write_csv

ORACLE = [0.5, 0.3, 0.1]


def scores(single, *, repeats=True, tier="test", feve=(0.5, 0.1, None)):
    return {
        "single_trial_correlation": single,
        "correlation_to_average": [2 * r for r in single] if repeats else None,
        "feve": list(feve[: len(single)]) if repeats else None,
        "oracle": ORACLE[: len(single)] if repeats else None,
        "summary": {"tier": tier, "neurons": len(single), "validation_correlation": 0.25},
    }


def scan(name, model, nonlinear, ridge, **options):
    baselines = {"linear_nonlinear": scores(nonlinear, **options), "ridge": scores(ridge, **options)}
    return name, scores(model, **options), baselines


def test_means_counts_and_the_oracle():
    table = score_table([scan("a", [0.4, 0.2, 0.0], [0.3, 0.2, 0.0], [0.2, 0.1, 0.0])])
    assert list(table["model"]) == ["response model", "linear-nonlinear", "ridge", "oracle"]
    assert set(table["scan"]) == {"a"}
    assert set(table["neurons"]) == {3}
    table = table.set_index("model")
    np.testing.assert_allclose(table["single_trial_correlation"], [0.2, 0.5 / 3, 0.1, 0.3])
    np.testing.assert_allclose(table["correlation_to_average"][:3], [0.4, 1 / 3, 0.2])
    np.testing.assert_allclose(table["feve"][:3], 0.3)
    assert list(table["explainable_neurons"][:3]) == [2, 2, 2]
    slope = np.linalg.lstsq(np.array(ORACLE)[:, None], [0.4, 0.2, 0.0], rcond=None)[0][0]
    assert table.loc["response model", "fraction_of_oracle"] == pytest.approx(slope)
    assert (
        table.loc["oracle"].drop(["single_trial_correlation", "scan", "tier", "neurons"]).isin([""]).sum()
        == 1
    )


@pytest.mark.parametrize(
    ("nonlinear", "ridge", "expected"),
    [(0.1, 0.1, "yes"), (0.3, 0.1, "no"), (0.1, 0.3, "no"), (0.2, 0.1, "no")],
)
def test_both_baselines_must_be_beaten(nonlinear, ridge, expected):
    table = score_table([scan("a", [0.2, 0.2, 0.2], [nonlinear] * 3, [ridge] * 3)])
    assert list(table["beats_baselines"]) == [expected, "", "", ""]


def test_without_repeats_there_is_no_oracle_and_gaps_stay_gaps(tmp_path):
    table = score_table([scan("1", [0.2], [0.1], [0.1], repeats=False, tier="validation")])
    assert list(table["model"]) == ["response model", "linear-nonlinear", "ridge"]
    gaps = ["correlation_to_average", "feve", "explainable_neurons", "fraction_of_oracle"]
    assert table[gaps].isna().all(axis=None)
    write_csv(tmp_path / "a.csv", table)
    assert read_csv(tmp_path / "a.csv").loc[0, "scan"] == "1"
    body = to_latex(table, "c", "l").splitlines()
    assert r"1 & response model & validation & 1 & 0.25 & 0.2 & -- & -- & -- & -- & yes \\" in body


def test_no_explainable_neuron_is_a_count_of_zero():
    table = score_table([scan("a", [0.2] * 3, [0.1] * 3, [0.1] * 3, feve=(None, None, None))])
    assert list(table["explainable_neurons"][:3]) == [0, 0, 0]
    assert table["feve"].isna().all()


def test_scans_stand_below_each_other():
    table = score_table(
        [scan("b", [0.2], [0.1], [0.1]), scan("a", [0.2], [0.1], [0.1], repeats=False, tier="validation")]
    )
    assert list(table["scan"]) == ["b"] * 4 + ["a"] * 3
    assert table["explainable_neurons"].dtype == pd.Int64Dtype()


def test_scores_of_different_tiers_or_neurons_are_refused():
    name, model, baselines = scan("a", [0.2], [0.1], [0.1])
    with pytest.raises(
        InputError, match="scan 'a': the ridge is scored on 2 neurons, tier 'test'; expected 1"
    ):
        score_table([(name, model, baselines | {"ridge": scores([0.1, 0.2])})])
    with pytest.raises(InputError, match="tier 'validation'"):
        score_table([(name, model, baselines | {"linear_nonlinear": scores([0.1], tier="validation")})])
