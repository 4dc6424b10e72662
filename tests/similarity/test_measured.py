"""Similarity of one scan's averages, against sums written out."""

import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan
from neuroreg.similarity.measured import measured_similarity


def make_scan(withheld=False):
    rng = np.random.default_rng(3)
    image = np.array([*range(8), *[8, 9, 10, 11] * 5], np.int64)
    tier = np.array(["train"] * 6 + ["validation"] * 2 + ["test"] * 20)
    responses = rng.gamma(2.0, 1.0, (28, 5)) + rng.gamma(2.0, 1.0, (12, 5))[image]
    if withheld:
        responses[tier == "test"] = 0
    order = rng.permutation(28)
    return Scan(
        rng.integers(0, 256, (12, 36, 64), np.uint8),
        np.array([f"c/{number}" for number in range(12)]),
        image[order],
        tier[order],
        responses[order].astype(np.float32),
        np.zeros((28, 3), np.float32),
        np.zeros((28, 2), np.float32),
        np.arange(5),
    )


def expected(scan, images, trials, w):
    """Cosines of centred, weighted averages, one image and one pair after the other."""
    deviation = scan.responses[trials].astype(float).std(0)
    rows = np.stack([scan.responses[trials & (scan.image == one)].mean(0, dtype=float) for one in images])
    rows = (rows - rows.mean(0)) * w / deviation
    return np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for a in rows] for b in rows])


def weights(scan):
    repeats = np.stack([scan.responses[scan.image == one] for one in (8, 9, 10, 11)]).astype(float)
    return np.sqrt(repeats.mean(1).var(0) / repeats.var(1).mean(0))


@pytest.mark.parametrize(("tier", "images"), [(None, range(12)), ("test", range(8, 12)), ("train", range(6))])
def test_it_is_the_cosine_of_averages(tier, images):
    scan = make_scan()
    found = measured_similarity(scan, tier)
    assert found.key.tolist() == [f"c/{number}" for number in images]
    everything = np.full(28, True)
    rows = expected(scan, images, everything, weights(scan))
    np.testing.assert_allclose(found.matrix, rows, atol=1e-6)


@pytest.mark.parametrize(
    ("exponent", "bias_correction", "units"),
    [(2.0, False, "std"), (1.0, True, "std"), (1.0, False, "source"), (0.5, True, "source")],
)
def test_weights_and_units_are_those_asked_for(exponent, bias_correction, units):
    scan = make_scan()
    found = measured_similarity(scan, exponent=exponent, bias_correction=bias_correction, units=units)
    repeats = np.stack([scan.responses[scan.image == one] for one in (8, 9, 10, 11)]).astype(float)
    ddof = int(bias_correction)
    noise = repeats.var(1, ddof=ddof).mean(0)
    signal = repeats.mean(1).var(0, ddof=ddof) - ddof * noise / 5
    assert (signal > 0).any()
    w = np.sqrt(np.maximum(signal, 0) / noise) ** exponent
    in_units = w * scan.responses.astype(float).std(0) if units == "source" else w
    rows = expected(scan, range(12), np.full(28, True), in_units)
    np.testing.assert_allclose(found.matrix, rows, atol=1e-6)
    asked = {"weight_exponent": exponent, "bias_correction": bias_correction, "units": units}
    assert asked.items() <= found.provenance.items()


def test_withheld_trials_take_no_part():
    scan = make_scan(withheld=True)
    found = measured_similarity(scan)
    measured = scan.tier != "test"
    np.testing.assert_allclose(found.matrix, expected(scan, range(8), measured, 1.0), atol=1e-6)
    with pytest.raises(InputError, match="withheld"):
        measured_similarity(scan, "test")


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="2 images in tier 'validation'; expected at least 3"):
        measured_similarity(make_scan(), "validation")
    with pytest.raises(InputError, match="tier 'oracle'; expected train, validation or test"):
        measured_similarity(make_scan(), "oracle")
