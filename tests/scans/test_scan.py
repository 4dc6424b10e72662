import h5py
import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.files.storage import write_h5
from neuroreg.scans.scan import Scan

FIELDS = tuple(Scan.__dataclass_fields__)


def arrays():
    """Seven trials of four images; image 1 is shown three times in the test tier, image 2 twice."""
    rng = np.random.default_rng(0)
    return {
        "images": rng.integers(0, 256, (4, 36, 64), dtype=np.uint8),
        "key": np.array([f"n0{i}/{i}" for i in range(4)]),
        "image": np.array([1, 0, 2, 1, 3, 2, 1], dtype=np.int64),
        "tier": np.array(["test", "train", "test", "test", "validation", "test", "test"]),
        "responses": rng.random((7, 5), dtype=np.float32),
        "behavior": rng.random((7, 3), dtype=np.float32),
        "pupil_center": rng.random((7, 2), dtype=np.float32),
        "unit_id": np.array([11, 3, 5, 8, 2], dtype=np.int64),
        "area": np.array(["V1", "V1", "LM", "unknown", "V1"]),
        "layer": np.array(["L2/3", "L4", "L2/3", "L4", "L2/3"]),
        "left_out": np.array(["final_test", "final_test", "live"]),
    }


def changed(name, index, value):
    array = arrays()[name].copy()
    array[index] = value
    return array


def test_trials_of_a_tier():
    scan = Scan(**arrays())
    assert scan.trials_of("test").tolist() == [0, 2, 3, 5, 6]
    assert scan.trials_of("train").tolist() == [1]
    assert scan.trials_of("validation").tolist() == [4]
    with pytest.raises(InputError, match="tier 'oracle'; expected train, validation or test"):
        scan.trials_of("oracle")


def test_oracle_trials_are_ragged_and_only_from_the_test_tier():
    trials = Scan(**arrays()).oracle_trials()
    assert {image: t.tolist() for image, t in trials.items()} == {1: [0, 3, 6], 2: [2, 5]}
    content = arrays()
    content["tier"][2] = "train"  # leaves image 2 with one test trial
    assert list(Scan(**content).oracle_trials()) == [1]
    content["tier"][:] = "train"
    assert Scan(**content).oracle_trials() == {}


def test_withheld_tier_is_named_and_refused():
    content = arrays()
    assert Scan(**content).withheld_tiers() == ()
    content["responses"][content["tier"] == "test"] = 0
    scan = Scan(**content)
    assert scan.withheld_tiers() == ("test",)
    assert scan.trials_of("train").tolist() == [1]
    assert scan.repeated_images().tolist() == [1, 2]
    for ask in (scan.oracle_trials, lambda: scan.trials_of("test")):
        with pytest.raises(InputError, match="tier 'test' is withheld"):
            ask()
    content["responses"][6, 4] = 1e-6
    assert Scan(**content).withheld_tiers() == ()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("images", np.zeros((4, 36, 64), np.float32), r"images float32 \(4, 36, 64\); expected uint8"),
        ("images", np.zeros((4, 1, 36, 64), np.uint8), r"images .*; expected uint8 \(4, 36, 64\)"),
        ("key", np.array(["a/1"]), r"key str \(1,\); expected str \(4,\)"),
        ("key", np.array(["a/1", "a/2", "a/1", "a/3"]), "key 'a/1' found twice"),
        ("image", np.zeros(7, np.int32), r"image int32 \(7,\); expected int64"),
        ("image", changed("image", 2, 4), "image indices 0 to 4; expected 0 to 3"),
        ("image", changed("image", 2, -1), "image indices -1 to 3; expected 0 to 3"),
        ("tier", np.array(["test"] * 6), r"tier str \(6,\); expected str \(7,\)"),
        ("tier", np.array(["test"] * 6 + ["final_test"]), "tier 'final_test'; expected train, validation or"),
        ("responses", np.zeros((7, 4), np.float32), r"responses float32 \(7, 4\); expected float32 \(7, 5\)"),
        (
            "responses",
            changed("responses", ([5, 3, 3], [0, 1, 2]), np.nan),
            "responses holds 3 values that are NaN or infinite, the first in trial 3",
        ),
        ("behavior", np.zeros(7, np.float32), r"behavior float32 \(7,\); expected float32 \(7, B\)"),
        ("behavior", changed("behavior", (6, 1), np.inf), "behavior holds 1 values .* trial 6"),
        ("pupil_center", np.zeros((7, 3), np.float32), r"pupil_center .*; expected float32 \(7, 2\)"),
        ("pupil_center", changed("pupil_center", 0, np.nan), "pupil_center holds 2 values .* trial 0"),
        ("unit_id", changed("unit_id", 0, 2), "unit_id '2' found twice"),
        ("area", np.array(["V1"] * 4), r"area str \(4,\); expected str \(5,\)"),
        ("layer", np.zeros(5), r"layer float64 \(5,\); expected str \(5,\)"),
        ("left_out", np.zeros(2), r"left_out float64 \(2,\); expected str \(2,\)"),
    ],
)
def test_validation(name, value, message):
    with pytest.raises(InputError, match=message):
        Scan(**{**arrays(), name: value})


def test_negative_responses_are_allowed():
    Scan(**{**arrays(), "responses": -arrays()["responses"]})


def test_neurons_are_somewhere_unknown_and_no_trial_is_left_out_by_default(tmp_path):
    content = {name: array for name, array in arrays().items() if name not in ("area", "layer", "left_out")}
    write_record(tmp_path / "scan.h5", Scan(**content))
    for scan in (Scan(**content), read_record(tmp_path / "scan.h5", Scan)):
        assert scan.area.tolist() == scan.layer.tolist() == ["unknown"] * 5
        assert scan.left_out.dtype.kind == "U" and scan.left_out.shape == (0,)


def test_a_scan_without_behavior_round_trips(tmp_path):
    write_record(tmp_path / "scan.h5", Scan(**{**arrays(), "behavior": np.zeros((7, 0), np.float32)}))
    assert read_record(tmp_path / "scan.h5", Scan).behavior.shape == (7, 0)


def test_round_trip_is_exact_and_reproducible(tmp_path):
    scan = Scan(**arrays())
    write_record(tmp_path / "a.h5", scan, config={"source": "static_hdf5"})
    write_record(tmp_path / "b.h5", scan, config={"source": "static_hdf5"})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    loaded = read_record(tmp_path / "a.h5", Scan)
    for name in FIELDS:
        assert getattr(loaded, name).dtype == getattr(scan, name).dtype, name
        np.testing.assert_array_equal(getattr(loaded, name), getattr(scan, name))


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "scan.h5"
    with pytest.raises(InputError, match=r"scan\.h5: no such file; expected a neuroreg file of kind 'scan'"):
        read_record(path, Scan)
    write_h5(path, "stimuli", {"images": np.zeros(1)})
    with pytest.raises(InputError, match=r"scan\.h5: is of kind 'stimuli'; expected .* kind 'scan'"):
        read_record(path, Scan)
    write_record(path, Scan(**arrays()))
    with h5py.File(path, "a") as file:
        file["trials/responses"][2, 0] = np.nan
    with pytest.raises(InputError, match=r"scan\.h5: scan: responses holds 1 values .* trial 2"):
        read_record(path, Scan)
    with h5py.File(path, "a") as file:
        del file["trials/pupil_center"]
    with pytest.raises(InputError, match=r"scan\.h5: no dataset 'trials/pupil_center'"):
        read_record(path, Scan)
