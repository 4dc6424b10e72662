import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan, usable_trials
from neuroreg.scans.selection import select_neurons
from neuroreg.scans.summary import (
    image_digest,
    log_summary,
    summarise_scan,
    summary_lines,
    summary_warnings,
)


@pytest.fixture
def scan():
    """Of five test images one was shown once, two twice and two three times; each train image once."""
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(8), [1, 2, 2, 3, 3, 1, 1, 1])
    return Scan(
        images=rng.integers(0, 256, (8, 36, 64), np.uint8),
        key=np.array([f"a/{i}" for i in range(8)]),
        image=image,
        tier=np.where(image < 5, "test", np.where(image < 7, "train", "validation")),
        responses=rng.random((14, 4), np.float32),
        behavior=np.column_stack([np.ones(14), np.zeros(14), np.arange(14)]).astype(np.float32),
        pupil_center=np.zeros((14, 2), np.float32),
        unit_id=np.arange(4),
        area=np.array(["V1", "LM", "V1", "V1"]),
        layer=np.array(["L4", "L4", "L4", "L2/3"]),
        left_out=np.array(["final_test", "live", "final_test"]),
        missing_tier=np.array(["train", "test", "train"]),
        missing_unit=np.array([8, 9]),
    )


def digest_of(scan):
    content = b"".join(
        key.encode() + b"\0" + image.tobytes()
        for key, image in sorted(zip(scan.key.tolist(), scan.images, strict=True), key=lambda pair: pair[0])
    )
    return hashlib.sha256(content).hexdigest()


def test_summary(scan):
    summary = summarise_scan("mine", scan, select_neurons("mine", scan, areas=["V1"], layers=["L4"]))
    assert summary == {
        "scan": "mine",
        "neurons": {
            "read": 4,
            "kept": 2,
            "dropped": {"area": 1, "layer": 1, "oracle": 0},
            "oracle_unused": None,
            "areas": {"LM": {"read": 1, "kept": 0}, "V1": {"read": 3, "kept": 2}},
            "layers": {"L2/3": {"read": 1, "kept": 0}, "L4": {"read": 3, "kept": 2}},
        },
        "trials": {"train": 2, "validation": 1, "test": 11},
        "missing": {"trials": {"train": 2, "test": 1}, "neurons": 2},
        "left_out_tiers": {"final_test": 2, "live": 1},
        "withheld_tiers": [],
        "negative_responses": 0.0,
        "images": {"count": 8, "different": 8, "sha256": digest_of(scan)},
        "repeats": {"1": 1, "2": 2, "3": 2},
        "ragged": True,
        "covariates": {"behavior": 2, "pupil_center": 0},
    }
    assert json.loads(json.dumps(summary)) == summary
    assert summary_lines(summary) == [
        "scan 'mine': neurons: 4 read, 2 kept; dropped: 1 by area, 1 by layer; LM 1, V1 3, L2/3 1, L4 3",
        "scan 'mine': trials: train 2, validation 1, test 11",
        f"scan 'mine': images: 8, sha256 {digest_of(scan)}",
        "scan 'mine': test images x showings: 1 x 1, 2 x 2, 2 x 3 (ragged)",
        "scan 'mine': covariates, columns with anything but 0: behavior 2, pupil_center 0",
        "scan 'mine': dropped for missing values: trials: train 2, test 1; neurons: 2",
        "scan 'mine': tier 'final_test' left out: 2 trials",
        "scan 'mine': tier 'live' left out: 1 trials",
    ]


def test_negative_responses_are_told_by_their_share(scan):
    responses = scan.responses.copy()
    responses[3, :2] = -1
    negative = replace(scan, responses=responses)
    summary = summarise_scan("mine", negative, select_neurons("mine", negative))
    assert summary["negative_responses"] == 2 / (14 * 4)
    (line,) = [line for line in summary_lines(summary) if "negative" in line]
    assert line.startswith(
        "scan 'mine': negative responses: 3.6% of all; they count as 0 where response models"
    )
    assert summary_warnings(summary) == []
    responses[3:5] = -1  # two of 14 trials
    summary = summarise_scan("mine", negative, select_neurons("mine", negative))
    assert not [line for line in summary_lines(summary) if "negative" in line]
    (line,) = summary_warnings(summary)
    assert line.startswith("scan 'mine': negative responses: 14.3% of all;")
    responses[3:5] = scan.responses[3:5]
    responses[3, :2] = -1
    v1 = select_neurons("mine", negative, areas=["V1"])
    assert summarise_scan("mine", negative, v1)["negative_responses"] == 1 / (14 * 3)


def test_one_image_under_several_keys_is_told(scan):
    """Labs give each trial an image of its own: nothing is then repeated."""
    images = scan.images.copy()
    images[[2, 4]] = images[1]
    summary = summarise_scan("mine", replace(scan, images=images), select_neurons("mine", scan))
    assert summary["images"]["count"] == 8
    assert summary["images"]["different"] == 6
    assert any("8 keys, but only 6 different images" in line for line in summary_warnings(summary))


def test_a_test_tier_that_repeats_nothing_is_warned_of(scan, caplog):
    caplog.set_level("INFO")
    _, first = np.unique(scan.image, return_index=True)
    once = replace(
        scan,
        **{
            name: getattr(scan, name)[first]
            for name in ("image", "tier", "responses", "behavior", "pupil_center")
        },
    )
    summary = summarise_scan("mine", once, select_neurons("mine", once))
    assert set(summary["repeats"]) == {"1"}
    log_summary(summary)
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "each shown once; without repeats w is 1" in warning.getMessage()
    assert len(caplog.records) == 1 + len(summary_lines(summary))
    # What was not published is no mistake.
    silent = np.where(once.tier[:, None] == "test", np.float32(0), once.responses)
    withheld = replace(once, responses=silent)
    assert summary_warnings(summarise_scan("mine", withheld, select_neurons("mine", withheld))) == []


def test_too_few_trials_of_a_tier_are_told_with_what_there_is(scan):
    with pytest.raises(InputError, match="scan: 1 trials of tier 'validation' that can be used") as error:
        usable_trials(scan)
    assert "of train 2, validation 1, test 11; left out: 'final_test' 2, 'live' 1; expected" in str(
        error.value
    )


def test_a_competition_scan(scan):
    responses = np.where(scan.tier[:, None] == "test", np.float32(0), scan.responses)
    trials = np.flatnonzero(np.isin(scan.image, [1, 2, 5]))
    even = replace(
        scan,
        behavior=np.zeros((len(trials), 0), np.float32),
        responses=responses[trials],
        **{name: getattr(scan, name)[trials] for name in ("image", "tier", "pupil_center")},
    )
    summary = summarise_scan("mine", even, select_neurons("mine", even, min_oracle=0.5))
    assert summary["neurons"]["oracle_unused"] == "the test tier is withheld"
    assert summary["neurons"]["kept"] == 4
    assert summary["withheld_tiers"] == ["test"]
    assert (summary["repeats"], summary["ragged"]) == ({"2": 2}, False)
    assert summary["covariates"] == {"behavior": 0, "pupil_center": 0}
    lines = summary_lines(summary)
    assert "scan 'mine': tier 'test' withheld: all its responses are exactly 0; it is never used" in lines
    assert "scan 'mine': test images x showings: 2 x 2" in lines


def test_a_scan_without_test_trials(scan):
    alone = replace(scan, tier=np.full(14, "train"), left_out=None)
    summary = summarise_scan("mine", alone, select_neurons("mine", alone))
    assert (summary["repeats"], summary["ragged"], summary["left_out_tiers"]) == ({}, False, {})
    assert "scan 'mine': test images x showings: none" in summary_lines(summary)


def test_the_digest_is_of_keys_and_pixels_in_any_order(scan):
    digest = image_digest(scan.key, scan.images)
    order = np.random.default_rng(1).permutation(8)
    assert image_digest(scan.key[order], scan.images[order]) == digest
    assert image_digest(scan.key[order], scan.images) != digest
    pixels = scan.images.copy()
    pixels[3, 35, 63] ^= 1
    assert image_digest(scan.key, pixels) != digest
    assert image_digest(scan.key[:7], scan.images[:7]) != digest
