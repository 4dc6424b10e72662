"""Comparison of scans against the correlations computed one by one."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan
from neuroreg.similarity.denoised import PredictedResponses, denoised_similarity
from neuroreg.similarity.matrix import centred_cosine, similarity_correlation
from neuroreg.similarity.oracle import BETWEEN_SCANS, MODEL, SINGLE_TRIAL, compare_scans, oracle_similarities

NEURONS = 8


def make_scan(seed: int, oracle: int, withheld: bool = False) -> tuple[Scan, PredictedResponses]:
    """Return a scan with `oracle` images shown twice and a pool of 10 images, the same keys in every scan."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(oracle + 2), [2] * oracle + [1, 1])
    responses = rng.gamma(2.0, 1.0, (len(image), NEURONS)).astype(np.float32)
    responses[(image < oracle) & withheld] = 0
    scan = Scan(
        images=rng.integers(0, 256, (oracle + 2, 36, 64), np.uint8),
        key=np.array([f"s{seed}/{i}" for i in range(oracle + 2)]),
        image=image,
        tier=np.where(image < oracle, "test", "train"),
        responses=responses,
        behavior=np.zeros((len(image), 3), np.float32),
        pupil_center=np.zeros((len(image), 2), np.float32),
        unit_id=np.arange(NEURONS),
    )
    pool, repeated = (rng.gamma(2.0, 1.0, (n, NEURONS)).astype(np.float32) for n in (10, oracle))
    w, v = rng.random((2, NEURONS)).astype(np.float32)
    pool_key = np.array([f"c/{i}" for i in range(10)])
    std = rng.uniform(0.5, 2, NEURONS).astype(np.float32)
    return scan, PredictedResponses(pool_key, pool, scan.key[:oracle], repeated, w, v, std)


def test_scans_with_too_few_repeated_images_are_compared_between_scans_only():
    entries = {
        "full": make_scan(1, 4),
        "none": make_scan(2, 0),
        "one": make_scan(3, 1),
        "two": make_scan(4, 2),
        "withheld": make_scan(5, 4, withheld=True),
        "three": make_scan(6, 3),
    }
    within, table, effective = compare_scans(
        ((name, *entry) for name, entry in entries.items()), exponent=2.0, seed=0
    )
    assert list(within) == ["full", "three"]
    r = {(row.scan, row.comparison): row.r for row in table.itertuples()}
    assert len(r) == len(table) == 2 * 2 + 15
    for name in within:
        scan, responses = entries[name]
        expected = oracle_similarities(
            scan, responses.oracle_predicted, responses.w, responses.v, exponent=2.0, seed=0
        )
        assert r[name, SINGLE_TRIAL] == expected.single_trial_to_average
        assert r[name, MODEL] == expected.model_to_average
    pools = {
        name: centred_cosine(
            responses.predicted, (responses.w.astype(np.float64) * responses.v) ** 2 / responses.std
        )
        for name, (_, responses) in entries.items()
    }
    for a, b in itertools.combinations(entries, 2):
        expected = similarity_correlation(pools[a], pools[b])
        assert r[f"{a} and {b}", BETWEEN_SCANS] == pytest.approx(expected)
    assert list(zip(effective["scan"], effective["units"], strict=True)) == list(
        itertools.product(entries, ("std", "source"))
    )
    assert set(effective["neurons"]) == {NEURONS}
    for row in effective.itertuples():
        responses = entries[row.scan][1]
        scaled = responses.predicted * (responses.w.astype(np.float64) * responses.v) ** 2
        share = (scaled / responses.std if row.units == "std" else scaled).var(0)
        assert row.effective == pytest.approx(share.sum() ** 2 / np.square(share).sum())


@pytest.mark.parametrize("oracle", [0, 4])
def test_a_scan_that_has_no_similarity_is_named(oracle):
    good, (scan, responses) = make_scan(1, oracle), make_scan(2, oracle)
    flat = responses.predicted.copy()
    flat[:] = flat[:1]
    for changes, message in (
        ({"v": np.zeros(NEURONS, np.float32)}, "^scan 'b': weights: all 0; expected at least one neuron"),
        ({"predicted": flat}, "^scan 'b': responses: image 'c/0' has a zero vector after centring"),
    ):
        bad = replace(responses, **changes)
        with pytest.raises(InputError, match=message):
            compare_scans([("a", *good), ("b", scan, bad)], exponent=1.0, seed=0)
        with pytest.raises(InputError, match=message):
            denoised_similarity("b", bad, 1.0)


def test_both_comparisons_are_in_the_units_asked_for():
    entry = make_scan(1, 5)
    found = compare_scans([("a", *entry), ("b", *make_scan(2, 5))], exponent=1.0, units="source", seed=0)
    scan, responses = entry
    expected = oracle_similarities(
        scan, responses.oracle_predicted, responses.w, responses.v, units="source", seed=0
    )
    r = found.correlations.set_index(["scan", "comparison"])["r"]
    assert r["a", MODEL] == expected.model_to_average
    plain = [
        centred_cosine(one.predicted, one.w.astype(np.float64) * one.v)
        for one in (responses, make_scan(2, 5)[1])
    ]
    assert r["a and b", BETWEEN_SCANS] == pytest.approx(similarity_correlation(*plain))


def test_scans_without_enough_repeated_images_are_compared_with_each_other_only():
    entries = [("two", *make_scan(1, 2)), ("withheld", *make_scan(2, 4, withheld=True))]
    within, frame, _ = compare_scans(entries, exponent=1.0, seed=0)
    assert within == {}
    assert frame["comparison"].tolist() == [BETWEEN_SCANS]
    within, frame, effective = compare_scans(entries[:1], exponent=1.0, seed=0)
    assert within == {}
    assert list(frame.columns) == ["scan", "comparison", "r"]
    assert frame.empty
    assert effective["units"].tolist() == ["std", "source"]


def test_comparing_and_drawing_scans_imports_no_torch():
    modules = "neuroreg.similarity.oracle, neuroreg.figures.similarity"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
