"""Similarity matrices against closed forms, loops and numpy.corrcoef."""

import dataclasses
import itertools
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.files.storage import write_h5
from neuroreg.scans.scan import Scan
from neuroreg.similarity.matrix import (
    CHUNK,
    SimilarityMatrix,
    centred_cosine,
    denoised_weights,
    mean_similarity,
    shuffled,
    similarity_correlation,
    upper_triangle,
)
from neuroreg.similarity.oracle import CHOICES, oracle_similarities


def random_similarity(seed=0, images=7, neurons=5, scans=("a",), prefix="c"):
    rng = np.random.default_rng(seed)
    key = np.array([f"{prefix}/{i}" for i in range(images)])
    return SimilarityMatrix(
        centred_cosine(rng.normal(size=(images, neurons)), rng.random(neurons)), key, scans
    )


def test_cosine_equals_the_definition_image_by_image():
    rng = np.random.default_rng(1)
    # More neurons than one chunk.
    responses, weights = rng.gamma(1.0, 1.0, (6, 2500)).astype(np.float32), rng.random(2500)
    scaled = responses * weights
    centred = [row - scaled.mean(0) for row in scaled]
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in centred] for a in centred]
    found = centred_cosine(responses, weights)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diagonal(found), np.ones(6))


@pytest.mark.parametrize("seed", range(3))
def test_float32_products_are_within_a_millionth_of_float64(seed):
    # What is hard: means far above the differences, images nearly alike, one neuron above all others, images
    # of very different lengths; more images and neurons than one chunk.
    rng = np.random.default_rng(seed)
    responses = rng.standard_gamma(0.5, (CHUNK + 70, 2 * CHUNK + 1))
    responses[1:40] = responses[0] + 1e-3 * rng.normal(size=(39, responses.shape[1]))
    responses[40:80] = responses.mean(0) + 1e-4 * (responses[40:80] - responses.mean(0))
    responses = (1000 + responses * rng.lognormal(0, 2, responses.shape[1])).astype(np.float32)
    weights = rng.lognormal(0, 1, responses.shape[1])
    scaled = responses.astype(np.float64) * weights
    scaled -= scaled.mean(0)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    found = centred_cosine(responses, weights)
    assert np.abs(found - scaled @ scaled.T).max() < 1e-6
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diagonal(found), np.ones(len(found)))
    assert np.abs(found).max() == 1


def test_memory_beside_the_responses_is_the_result_and_one_chunk():
    responses, weights = np.random.default_rng(0).normal(size=(500, 20 * CHUNK)), np.ones(20 * CHUNK)
    tracemalloc.start()
    centred_cosine(responses, weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * (4 * 500**2 + 12 * 500 * CHUNK)  # a copy of the responses alone is ten times that


def test_cosine_has_its_closed_form():
    # Centred: (1, 0), (-1, 0), (0, 2), (0, -2).
    responses = np.array([[4.0, 5.0], [2.0, 5.0], [3.0, 7.0], [3.0, 3.0]])
    expected = np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]])
    np.testing.assert_allclose(centred_cosine(responses, np.array([1.0, 3.0])), expected, atol=1e-7)


@given(st.integers(0, 2**32), st.floats(1e-6, 1e6), st.floats(-100, 100))
def test_cosine_ignores_order_scale_and_offset_of_neurons(seed, scale, offset):
    rng = np.random.default_rng(seed)
    responses, weights = rng.normal(size=(5, 8)), rng.random(8) + 0.1
    order = rng.permutation(8)
    found = centred_cosine(responses[:, order] + offset, scale * weights[order])
    np.testing.assert_allclose(found, centred_cosine(responses, weights), atol=1e-6)


def test_a_neuron_of_weight_zero_changes_nothing():
    rng = np.random.default_rng(2)
    responses, weights = rng.normal(size=(5, 3)), np.array([0.5, 0.0, 2.0])
    without = centred_cosine(responses[:, [0, 2]], weights[[0, 2]])
    np.testing.assert_allclose(centred_cosine(responses, weights), without, atol=1e-6)


@pytest.mark.parametrize(
    ("responses", "weights", "message"),
    [
        ([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], [1.0, 1.0], "image 'c/2' has a zero vector"),
        ([[0.4, 0.1], [0.2, 0.1], [0.3, 0.1]], [1.0, 1.0], "image 'c/2' has a zero vector"),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0], "weights: all 0"),
        ([[1.0, 0.0], [0.0, np.nan], [1.0, 1.0]], [1.0, 1.0], "not finite"),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [1.0, np.inf], "not finite"),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [1.0], r"shape \(3, 2\) with weights of shape \(1,\)"),
    ],
)
def test_cosine_refuses(responses, weights, message):
    key = np.array(["c/0", "c/1", "c/2"])
    with pytest.raises(InputError, match=message):
        centred_cosine(np.array(responses), np.array(weights), key)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (0,), (5,), (1, 5)])
def test_cosine_refuses_what_has_no_rows_or_columns(shape):
    with pytest.raises(InputError):
        centred_cosine(np.empty(shape))


@pytest.mark.parametrize("images", [3, 7, 100])
def test_equal_rows_have_no_similarity_though_their_mean_is_rounded(images):
    rows = np.repeat(np.random.default_rng(0).random((1, 40)), images, 0)
    assert (rows - rows.mean(0)).any()
    with pytest.raises(InputError, match="image '0' has a zero vector"):
        centred_cosine(rows)
    # Nor do neurons that are constant count beside others.
    some = np.random.default_rng(1).random((images, 2))
    np.testing.assert_array_equal(centred_cosine(np.hstack([some, 1e12 * rows])), centred_cosine(some))


def test_denoised_weights():
    w, v = np.array([2.0, 0.5, 3.0]), np.array([0.5, 0.4, 0.0])
    np.testing.assert_allclose(denoised_weights(w, v), [1.0, 0.2, 0.0])
    np.testing.assert_allclose(denoised_weights(w, v, 2.0), [1.0, 0.04, 0.0])
    for bad in ((-w, v), (w, v * np.nan)):
        with pytest.raises(InputError, match="at least 0"):
            denoised_weights(*bad)
    np.testing.assert_allclose(denoised_weights(w, v, 2.0, np.array([2.0, 0.5, 1.0])), [0.5, 0.08, 0.0])
    for bad in ([1.0, 2.0], [1.0, 0.0, 2.0], [1.0, np.nan, 2.0], -1.0):
        with pytest.raises(InputError, match=r"^unit: .*; expected \(3,\) positive numbers\.$"):
            denoised_weights(w, v, 1.0, np.array(bad))
    with pytest.raises(InputError, match="shape"):
        denoised_weights(w, v[:2])
    with pytest.raises(InputError, match=r"exponent: found 0\.0"):
        denoised_weights(w, v, 0.0)


def spoil(matrix, index, value):
    matrix = matrix.copy()
    matrix[index] = value
    return matrix


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, k: (m.astype(np.float64), k), "float64"),
        (lambda m, k: (m[:-1], k), r"\(6, 7\)"),
        (lambda m, k: (m, k[:-1]), "6 keys"),
        (lambda m, k: (m, np.array([*k[:-1], k[0]])), "same key twice"),
        (lambda m, k: (spoil(m, (0, 1), np.nan), k), "1 values not finite"),
        (lambda m, k: (spoil(m, (0, 1), 0.123), k), "not symmetric"),
        (lambda m, k: (spoil(m, (2, 2), 0.999), k), "diagonal"),
        (lambda m, k: (spoil(spoil(m, (0, 1), 1.5), (1, 0), 1.5), k), r"\[-1, 1\]"),
        (lambda m, k: (spoil(spoil(m, (0, 1), -1.5), (1, 0), -1.5), k), r"\[-1, 1\]"),
        (lambda m, k: (m, k, (), {}, np.array([0, 1, 2, 3, 4, 5, 5])), "permutation expected of all 7"),
    ],
)
def test_a_matrix_that_is_no_similarity_is_refused(change, message):
    good = random_similarity()
    with pytest.raises(InputError, match=message):
        SimilarityMatrix(*change(good.matrix, good.key))


def test_a_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "s.h5"
    made = dataclasses.replace(random_similarity(scans=("b", "a")), provenance={"kind": "raw", "seed": 1})
    for similarity in (made, random_similarity(scans=()), shuffled(made, seed=2**62)):
        write_record(path, similarity)
        loaded = read_record(path, SimilarityMatrix)
        np.testing.assert_array_equal(loaded.matrix, similarity.matrix)
        np.testing.assert_array_equal(loaded.key, similarity.key)
        assert loaded.scans == similarity.scans
        assert loaded.provenance == similarity.provenance
    np.testing.assert_array_equal(loaded.permutation, similarity.permutation)
    assert loaded.provenance == {"kind": "shuffled", "seed": 2**62, "of": {"kind": "raw", "seed": 1}}


def test_a_damaged_file_is_named(tmp_path):
    good = random_similarity()
    bad = {"matrix": spoil(good.matrix, (0, 1), 0.5), "key": good.key, "scans": np.array(["a"])}
    write_h5(tmp_path / "bad.h5", "similarity", bad)
    with pytest.raises(InputError, match=r"bad\.h5: similarity: not symmetric"):
        read_record(tmp_path / "bad.h5", SimilarityMatrix)
    write_h5(tmp_path / "part.h5", "similarity", {"matrix": good.matrix, "scans": np.array(["a"])})
    with pytest.raises(InputError, match=r"part\.h5: no dataset 'key'"):
        read_record(tmp_path / "part.h5", SimilarityMatrix)


def test_mean_over_scans():
    parts = [random_similarity(seed, scans=(name,)) for seed, name in enumerate("abc")]
    mean = mean_similarity(iter(parts), {"kind": "denoised"})
    assert mean.provenance == {"kind": "denoised"}
    np.testing.assert_allclose(mean.matrix, np.mean([p.matrix for p in parts], axis=0), atol=1e-6)
    assert mean.scans == ("a", "b", "c")
    with pytest.raises(InputError, match="similarity of d: other image keys"):
        mean_similarity([*parts, random_similarity(scans=("d",), prefix="e")])
    with pytest.raises(InputError, match="none to average"):
        mean_similarity([])


def test_shuffling_moves_images_and_keeps_the_spectrum():
    similarity = random_similarity(images=12, neurons=30)
    moved = shuffled(similarity, seed=3)
    assert not np.array_equal(moved.matrix, similarity.matrix)
    np.testing.assert_array_equal(moved.key, similarity.key)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(moved.matrix), np.linalg.eigvalsh(similarity.matrix), atol=1e-5
    )
    np.testing.assert_array_equal(
        np.sort(upper_triangle(moved.matrix)), np.sort(upper_triangle(similarity.matrix))
    )
    undone = np.empty_like(moved.matrix)
    undone[np.ix_(moved.permutation, moved.permutation)] = moved.matrix
    np.testing.assert_array_equal(undone, similarity.matrix)
    np.testing.assert_array_equal(shuffled(similarity, seed=3).matrix, moved.matrix)
    assert not np.array_equal(shuffled(similarity, seed=4).matrix, moved.matrix)


def test_shuffling_is_never_the_identity():
    # Of three images with three different values every permutation but one shows.
    three = random_similarity(images=3)
    for seed in range(50):
        assert not np.array_equal(shuffled(three, seed).matrix, three.matrix)
    with pytest.raises(InputError, match="1 images; expected at least 2"):
        shuffled(SimilarityMatrix(np.ones((1, 1), np.float32), np.array(["c/0"])), 0)


def test_upper_triangles_and_their_correlation():
    a, b = random_similarity(1).matrix, random_similarity(2).matrix
    pairs = list(itertools.combinations(range(7), 2))
    np.testing.assert_array_equal(upper_triangle(a), [a[i, j] for i, j in pairs])
    expected = np.corrcoef([a[i, j] for i, j in pairs], [b[i, j] for i, j in pairs])[0, 1]
    assert similarity_correlation(a, b) == pytest.approx(expected)
    assert similarity_correlation(a, a) == pytest.approx(1)
    with pytest.raises(InputError, match="shapes"):
        similarity_correlation(a, b[:5, :5])
    with pytest.raises(InputError, match="same value"):
        similarity_correlation(a, np.eye(7, dtype=np.float32))


def oracle_scan(rng, images=4, repeats=(2, 2, 3, 2), neurons=6, noise=1.0):
    signal = rng.gamma(2.0, 1.0, (images + 2, neurons))
    image = rng.permutation(np.repeat(np.arange(images + 2), [*repeats, 1, 1]))
    responses = signal[image] + noise * rng.gamma(1.0, 1.0, (len(image), neurons))
    scan = Scan(
        images=rng.integers(0, 256, (images + 2, 36, 64), np.uint8),
        key=np.array([f"c/{i}" for i in range(images + 2)]),
        image=image.astype(np.int64),
        tier=np.where(image < images, "test", "train"),
        responses=responses.astype(np.float32),
        behavior=rng.normal(size=(len(image), 3)).astype(np.float32),
        pupil_center=rng.normal(size=(len(image), 2)).astype(np.float32),
        unit_id=np.arange(neurons, dtype=np.int64),
    )
    return scan, signal[:images]


@pytest.mark.parametrize("units", ["std", "source"])
def test_oracle_similarities_come_from_one_trial_the_mean_and_the_model(units):
    rng = np.random.default_rng(5)
    scan, signal = oracle_scan(rng)
    w, v = rng.random(6) + 0.1, rng.random(6)
    unit = scan.responses.std(0, dtype=np.float64) if units == "std" else 1
    measured, modelled = w**2 / unit, (w * v) ** 2 / unit
    found = oracle_similarities(scan, signal, w, v, exponent=2.0, units=units, seed=0)
    np.testing.assert_array_equal(found.key, scan.key[:4])
    trials = [np.flatnonzero(scan.image == i) for i in range(4)]
    average = np.array([scan.responses[t].mean(0) for t in trials])
    np.testing.assert_allclose(found.averaged, centred_cosine(average, measured), atol=1e-6)
    np.testing.assert_allclose(found.model, centred_cosine(signal, modelled), atol=1e-6)
    matches = [
        choice
        for choice in itertools.product(*trials)
        if np.allclose(found.single_trial, centred_cosine(scan.responses[list(choice)], measured), atol=1e-6)
    ]
    assert len(matches) == 1
    left_out = [
        scan.responses[[k for k in t if k != one]].mean(0) for t, one in zip(trials, matches[0], strict=True)
    ]
    np.testing.assert_allclose(found.others_averaged, centred_cosine(np.array(left_out), measured), atol=1e-6)
    assert found.model_to_average == similarity_correlation(found.model, found.averaged)
    others = [oracle_similarities(scan, signal, w, v, seed=seed).single_trial for seed in range(1, 5)]
    assert any(not np.allclose(found.single_trial, other) for other in others)


def test_single_trials_take_turns():
    rng = np.random.default_rng(11)
    scan, signal = oracle_scan(rng, repeats=(2, 3, 3, 2))
    w = rng.random(6) + 0.1
    found = oracle_similarities(scan, signal, w, np.ones(6), units="source", seed=3)
    trials = [np.flatnonzero(scan.image == i) for i in range(4)]
    r = {}
    for choice in itertools.product(*trials):
        single = centred_cosine(scan.responses[list(choice)], w)
        others = [
            scan.responses[np.setdiff1d(t, [one])].mean(0) for t, one in zip(trials, choice, strict=True)
        ]
        r[choice] = similarity_correlation(single, centred_cosine(np.array(others), w))
        if np.allclose(single, found.single_trial, atol=1e-6):
            shown = choice
    # Whatever the order of each image's trials, the first choice is the one shown.
    expected = [
        np.mean([r[tuple(o[n % len(o)] for o in orders)] for n in range(CHOICES)])
        for orders in itertools.product(*map(itertools.permutations, trials))
        if tuple(o[0] for o in orders) == shown
    ]
    assert np.abs(np.array(expected) - found.single_trial_to_average).min() < 1e-6
    assert abs(found.single_trial_to_average - r[shown]) > 1e-3


def test_a_single_trial_that_says_nothing_has_no_correlation():
    rng = np.random.default_rng(9)
    scan, signal = oracle_scan(rng, 60, [2] * 60, neurons=20)
    noise = rng.normal(size=scan.responses.shape).astype(np.float32)
    scan = dataclasses.replace(scan, responses=noise)
    ones = np.ones(20)
    found = [oracle_similarities(scan, signal, ones, ones, seed=seed) for seed in range(10)]
    # Independent: about 1 / sqrt(1770 pairs) = 0.02; half of an average of two is the trial itself.
    assert np.abs(np.mean([f.single_trial_to_average for f in found])) < 0.04
    assert np.mean([similarity_correlation(f.single_trial, f.averaged) for f in found]) > 0.3


def test_leaving_one_trial_out_has_its_closed_form():
    # Two trials of each image, signal +- 2 on a neuron of its own. The Gram matrix of either is that of the
    # signal plus 4 (I - 1/4), whichever is chosen; the noise cancels in the average of both.
    signal = np.zeros((4, 6))
    signal[:, :2] = [[1, 0], [-1, 0], [0, 1], [0, -1]]
    scan, _ = oracle_scan(np.random.default_rng(0), 4, (2, 2, 2, 2))
    responses = np.zeros_like(scan.responses)
    for image in range(4):
        noise = np.zeros(6)
        noise[2 + image] = 2
        responses[scan.image == image] = signal[image] + [noise, -noise]
    scan = dataclasses.replace(scan, responses=responses)
    found = oracle_similarities(scan, signal, np.ones(6), np.ones(6), units="source", seed=0)
    one = [[1, -0.5, -0.25, -0.25], [-0.5, 1, -0.25, -0.25], [-0.25, -0.25, 1, -0.5], [-0.25, -0.25, -0.5, 1]]
    both = [[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]]
    np.testing.assert_allclose(found.single_trial, one, atol=1e-6)
    np.testing.assert_allclose(found.others_averaged, one, atol=1e-6)
    np.testing.assert_allclose(found.averaged, both, atol=1e-6)
    assert found.single_trial_to_average == pytest.approx(1)


def test_a_perfect_model_beats_a_noisy_trial_and_no_noise_is_perfect():
    rng = np.random.default_rng(6)
    ones = np.ones(40)
    scan, signal = oracle_scan(rng, 30, [10] * 30, neurons=40, noise=5.0)
    noisy = oracle_similarities(scan, signal, ones, ones, seed=0)
    assert noisy.single_trial_to_average < noisy.model_to_average - 0.1
    scan, signal = oracle_scan(rng, 30, [3] * 30, neurons=40, noise=0.0)
    exact = oracle_similarities(scan, signal, ones, ones, seed=0)
    assert exact.single_trial_to_average == pytest.approx(1, abs=1e-5)
    assert exact.model_to_average == pytest.approx(1, abs=1e-5)


def test_oracle_similarities_refuse_too_few_images_and_other_predictions():
    scan, signal = oracle_scan(np.random.default_rng(7), 2, (2, 2))
    with pytest.raises(InputError, match="2 images repeated"):
        oracle_similarities(scan, signal, np.ones(6), np.ones(6), seed=0)
    scan, signal = oracle_scan(np.random.default_rng(8))
    with pytest.raises(InputError, match=r"shape \(3, 6\); expected \(4, 6\)"):
        oracle_similarities(scan, signal[:3], np.ones(6), np.ones(6), seed=0)


def test_similarity_and_reliability_do_not_import_torch():
    code = "import sys, neuroreg.similarity.oracle; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
