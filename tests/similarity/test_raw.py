"""Raw similarity against trials picked one by one."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.files.records import write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.scans.reliability import signal_to_noise_weight
from neuroreg.scans.scan import Scan
from neuroreg.similarity.matrix import centred_cosine
from neuroreg.similarity.raw import raw_similarity

IMAGES = 12  # of the pool; images 12 to 14 are the oracle
NEURONS = 7


def stimuli(prefix="c"):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES + 3, 36, 64), np.uint8)
    key = np.array([f"{prefix}/{i}" for i in range(IMAGES + 3)])
    return Stimuli(images, key, np.arange(IMAGES + 3) >= IMAGES)


def make_scan(seed, shown, validation=(), withheld=(), change=None):
    """Return a scan that showed images `shown` of the pool, those in `validation` in that tier, and the
    oracle images three times; tiers in `withheld` have no responses, image `change` has other pixels."""
    rng = np.random.default_rng(seed)
    pool = stimuli()
    used = sorted({*shown, *validation, 12, 13, 14})
    image = np.array([used.index(i) for i in [*shown, *validation, *[12, 13, 14] * 3]], np.int64)
    tier = np.array(["train"] * len(shown) + ["validation"] * len(validation) + ["test"] * 9)
    order = rng.permutation(len(image))
    responses = rng.gamma(2.0, 1.0, (len(image), NEURONS)).astype(np.float32)
    responses[np.isin(tier, list(withheld))] = 0
    images = pool.images[used]
    if change is not None:
        images[used.index(change), 0, 0] ^= 1
    return Scan(
        images,
        pool.key[used],
        image[order],
        tier[order],
        responses[order],
        np.zeros((len(image), 3), np.float32),
        np.zeros((len(image), 2), np.float32),
        np.arange(NEURONS),
    )


def saved(folder, **scans):
    for name, scan in scans.items():
        write_record(folder / f"{name}.h5", scan)
    return {name: folder / f"{name}.h5" for name in scans}


def expected(scan, keys, exponent=1.0, bias_correction=False, units="std"):
    """From the one trial of each key, and w from the test tier."""
    index = {key: i for i, key in enumerate(scan.key.tolist())}
    rows = [scan.responses[scan.image == index[key]] for key in keys]
    assert all(len(row) == 1 for row in rows)
    test = scan.tier == "test"
    w = signal_to_noise_weight(scan.responses[test], scan.image[test], bias_correction=bias_correction)
    unit = scan.responses.std(0, dtype=np.float64) if units == "std" else 1
    return centred_cosine(np.concatenate(rows), w**exponent / unit)


@pytest.mark.parametrize(
    ("exponent", "bias_correction", "units"),
    [(1.0, False, "std"), (2.0, True, "std"), (2.0, False, "source")],
)
def test_the_mean_over_scans_of_what_all_have_measured(tmp_path, exponent, bias_correction, units):
    a = make_scan(1, [7, 0, 1, 2, 3, 4, 5, 6], validation=[8])
    b = make_scan(2, range(1, 12))
    found = raw_similarity(
        saved(tmp_path, a=a, b=b),
        stimuli(),
        exponent=exponent,
        units=units,
        bias_correction=bias_correction,
        seed=1,
    )
    keys = [f"c/{i}" for i in range(1, 9)]
    assert found.key.tolist() == keys
    assert found.scans == ("a", "b")
    parts = [expected(scan, keys, exponent, bias_correction, units) for scan in (a, b)]
    np.testing.assert_allclose(found.matrix, np.mean(parts, 0), atol=1e-6)
    assert found.provenance == {
        "kind": "raw",
        "units": units,
        "weight_exponent": exponent,
        "bias_correction": bias_correction,
        "seed": 1,
        "pool_images": IMAGES,
    }


def test_one_of_several_trials_is_chosen_by_the_seed(tmp_path):
    scan = make_scan(3, [0, 0, 0, 1, 2, 3])
    paths = saved(tmp_path, a=scan)
    index = {key: i for i, key in enumerate(scan.key.tolist())}
    trials = [np.flatnonzero(scan.image == index[f"c/{i}"]) for i in range(4)]
    test = scan.tier == "test"
    w = signal_to_noise_weight(scan.responses[test], scan.image[test])
    w /= scan.responses.std(0, dtype=np.float64)
    possible = [centred_cosine(scan.responses[list(choice)], w) for choice in itertools.product(*trials)]
    seen = set()
    for seed in range(20):
        matrix = raw_similarity(paths, stimuli(), seed=seed).matrix
        matches = [i for i, other in enumerate(possible) if np.allclose(matrix, other, atol=1e-6)]
        assert len(matches) == 1
        seen |= set(matches)
    assert seen == {0, 1, 2}


def test_each_scan_has_a_choice_of_its_own(tmp_path):
    # The same scan under two names: a mean of two that chose alike would be the similarity of one choice.
    scan = make_scan(3, [0, 0, 0, 1, 2, 3])
    paths = saved(tmp_path, a=scan, b=scan)
    differ = []
    for seed in range(8):
        one, other = (raw_similarity({name: paths[name]}, stimuli(), seed=seed).matrix for name in "ab")
        both = raw_similarity(paths, stimuli(), seed=seed).matrix
        np.testing.assert_allclose(both, (one.astype(float) + other) / 2, atol=1e-6)
        differ.append(not np.allclose(one, other, atol=1e-3))
    assert any(differ)


def test_withheld_trials_are_not_measured(tmp_path):
    scan = make_scan(4, [0, 1, 2, 3, 4], validation=[5, 6], withheld=["validation", "test"])
    found = raw_similarity(saved(tmp_path, a=scan), stimuli(), seed=1)
    assert found.key.tolist() == [f"c/{i}" for i in range(5)]
    # No repeats are measured either: every neuron weighs the same.
    index = {key: i for i, key in enumerate(scan.key.tolist())}
    rows = [scan.responses[scan.image == index[key]][0] for key in found.key]
    weights = 1 / scan.responses[scan.tier == "train"].std(0, dtype=np.float64)
    np.testing.assert_allclose(found.matrix, centred_cosine(np.array(rows), weights), atol=1e-6)


def test_what_was_never_shown_has_no_raw_similarity(tmp_path):
    paths = saved(tmp_path, a=make_scan(5, range(12)), b=make_scan(6, [0, 1]), c=make_scan(7, [5], change=5))
    with pytest.raises(
        InputError, match="scan 'a' has measured none of the pool's 12 images; expected a pool"
    ):
        raw_similarity({"a": paths["a"]}, stimuli("other"), seed=1)
    with pytest.raises(
        InputError, match=r"2 of the pool's 12 images are measured in every one .* a, b; .* 3"
    ):
        raw_similarity({name: paths[name] for name in "ab"}, stimuli(), seed=1)
    with pytest.raises(InputError, match="scan 'c' has other pixels under the key 'c/5' than the pool"):
        raw_similarity(paths, stimuli(), seed=1)


def test_a_scan_that_has_no_similarity_is_named(tmp_path):
    good = make_scan(1, range(11))
    # Every repeat is alike, so that no neuron's noise is known and w is 0 for all.
    noiseless = np.where((good.tier == "test")[:, None], good.image[:, None], good.responses)
    # One image to which every neuron answers with its mean over all of them: 9, between 9 - k and 9 + k.
    average = good.responses.copy()
    others = np.flatnonzero((good.tier != "test") & (good.image != 3))
    steps = np.random.default_rng(0).integers(1, 9, (5, NEURONS))
    average[others] = 9 + np.concatenate([steps, -steps])
    average[good.image == 3] = 9
    for responses, message in (
        (noiseless, r"^scan 'b': weights: all 0; expected at least one neuron"),
        (average, r"^scan 'b': responses: image 'c/3' has a zero vector after centring"),
    ):
        paths = saved(tmp_path, a=good, b=replace(good, responses=responses.astype(np.float32)))
        with pytest.raises(InputError, match=message):
            raw_similarity(paths, stimuli(), units="source", seed=1)


def test_raw_similarity_imports_no_torch():
    code = "import sys, neuroreg.similarity.raw; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
