"""A scan with gaps, read in every form, against the same scan written without what has them."""

import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_files import FORMS, assert_same_scan, read_as

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.scans.missing import scan_without_missing
from neuroreg.scans.scan import Scan

TIERS = np.array(["train", "test", "validation", "test", "final_test", "test", "train", "train"])
SHOWN = np.array([3, 7, 5, 7, 9, 8, 5, 1])
OF_TRIALS = ("images", "responses", "behavior", "pupil_center", "tiers", "image_id", "image_class")
OF_NEURONS = ("unit_ids", "area", "layer")


def parts():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (10, 1, 36, 64)).astype(np.float32)
    return {
        "images": pictures[SHOWN],
        "responses": rng.gamma(1.0, 1.0, (8, 4)),
        "behavior": rng.normal(size=(8, 3)),
        "pupil_center": rng.normal(size=(8, 2)),
        "tiers": TIERS,
        "image_id": SHOWN,
        "image_class": np.array(["c"] * 8),
        "unit_ids": np.array([11, 4, 30, 6]),
        "area": np.array(["V1", "LM", "V1", "AL"]),
        "layer": np.array(["L4", "L4", "L2/3", "L4"]),
    }


def holed(whole, responses=(), behavior=(), pupil_center=()):
    """`whole` with NaN at these places (trial, column)."""
    changed = dict(whole)
    for kind, places in (("responses", responses), ("behavior", behavior), ("pupil_center", pupil_center)):
        changed[kind] = whole[kind].copy()
        for trial, column in places:
            changed[kind][trial, column] = np.nan
    return changed


def cut(whole, trials, neurons):
    """`whole` with these trials and neurons only."""
    changed = {name: whole[name][trials] for name in OF_TRIALS} | {n: whole[n][neurons] for n in OF_NEURONS}
    return changed | {"responses": whole["responses"][np.ix_(trials, neurons)]}


def assert_same_but_for_what_is_missing(scan, reference):
    for name in Scan.__dataclass_fields__:
        if not name.startswith("missing"):
            np.testing.assert_array_equal(getattr(scan, name), getattr(reference, name), err_msg=name)
    assert reference.missing_tier.tolist() == reference.missing_unit.tolist() == []


places = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1)), max_size=3)


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=4),
    places,
    places,
    st.booleans(),
)
def test_what_has_gaps_is_dropped_and_nothing_else(form, responses, behavior, pupil_center, drop_neurons):
    known = {trial for trial in range(8) if TIERS[trial] != "final_test"}
    bad = {trial for trial, _ in [*behavior, *pupil_center]}
    if not drop_neurons:
        bad |= {trial for trial, _ in responses}
    neurons = set(range(4))
    if drop_neurons:
        neurons -= {neuron for trial, neuron in responses if trial in known - bad}
    recording = holed(parts(), responses, behavior, pupil_center)
    missing = "drop_neurons" if drop_neurons else "drop_trials"
    with tempfile.TemporaryDirectory() as folder:
        if not (known - bad and neurons):
            with pytest.raises(InputError, match="without missing values: NaN in the responses of"):
                read_as(form, folder, recording, missing)
            return
        scan = read_as(form, folder, recording, missing)
    with tempfile.TemporaryDirectory() as folder:
        trials = [trial for trial in range(8) if trial not in bad & known]
        reference = read_as(form, folder, cut(parts(), trials, sorted(neurons)))
    assert_same_but_for_what_is_missing(scan, reference)
    assert scan.missing_tier.tolist() == [TIERS[trial] for trial in sorted(bad & known)]
    assert scan.missing_unit.tolist() == [parts()["unit_ids"][n] for n in range(4) if n not in neurons]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", ["refuse", "drop_trials", "drop_neurons"])
def test_a_scan_without_gaps_is_the_same_whatever_is_asked(tmp_path, form, missing):
    assert_same_scan(read_as(form, tmp_path, parts(), missing), read_as(form, tmp_path, parts()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", ["drop_trials", "drop_neurons"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinite_values_are_not_missing(tmp_path, form, missing, value):
    recording = holed(parts(), [(0, 0)])
    recording["responses"][3, 1] = value
    with pytest.raises(InputError, match=r"1 values that are NaN or infinite.*; expected finite values\.$"):
        read_as(form, tmp_path, recording, missing)


@pytest.mark.parametrize("form", FORMS)
def test_who_meets_a_gap_is_told_of_the_key(tmp_path, form):
    with pytest.raises(InputError, match="expected finite values, or config key 'missing' to drop trials or"):
        read_as(form, tmp_path, holed(parts(), behavior=[(2, 0)]))


@pytest.mark.parametrize("missing", ["drop_trials", "drop_neurons"])
def test_nothing_left_is_refused_with_what_is_missing(tmp_path, missing):
    whole = holed(parts(), [(0, 0)], pupil_center=[(trial, 1) for trial in range(8)])
    message = (
        r"no trial without missing values: NaN in the responses of 1 of 7 trials and of 1 of 4 neurons, in "
        rf"behavior or pupil_center of 7 trials; expected something to be left by missing: {missing}\.$"
    )
    with pytest.raises(InputError, match=message):
        read_as("static_hdf5", tmp_path, whole, missing)
    every = holed(parts(), [(0, neuron) for neuron in range(4)])
    with pytest.raises(
        InputError, match=r"no neuron without missing values: .* of 1 of 7 trials and of 4 of 4"
    ):
        read_as("static_hdf5", tmp_path, every, "drop_neurons")


def test_what_was_dropped_stays_in_the_scans_file(tmp_path):
    scan = read_as("zip", tmp_path, holed(parts(), [(0, 2)], [(1, 0)]), "drop_neurons")
    write_record(tmp_path / "scan.h5", scan)
    loaded = read_record(tmp_path / "scan.h5", Scan)
    assert loaded.missing_tier.tolist() == ["test"]
    assert loaded.missing_unit.tolist() == [30]
    # The other showing of the image is still there.
    assert loaded.key.tolist() == ["c/1", "c/3", "c/5", "c/7", "c/8"]


def test_an_image_that_no_trial_has_shown_stays():
    fields = {
        "images": np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 36, 64), np.uint8),
        "key": np.array(["c/0", "c/1", "c/2", "c/3"]),
        "image": np.array([0, 1, 1, 3]),  # 2 has not been shown
        "tier": np.array(["train", "train", "validation", "test"]),
        "responses": np.array([[1, 2], [np.nan, 1], [1, 1], [np.nan, 3]], np.float32),
        "behavior": np.zeros((4, 0), np.float32),
        "pupil_center": np.zeros((4, 2), np.float32),
        "unit_id": np.arange(2),
    }
    scan = scan_without_missing("drop_trials", **fields)
    assert scan.key.tolist() == ["c/0", "c/1", "c/2"]  # 3 was shown in a trial that is gone
    assert scan.image.tolist() == [0, 1]
