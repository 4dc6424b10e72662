import h5py
import numpy as np
import pytest
from lab_files import assert_same_scan

from neuroreg.errors import InputError
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import make_stimuli
from neuroreg.scans.scan import Scan
from neuroreg.scans.static_hdf5 import read_static_hdf5, write_static_hdf5
from neuroreg.simulator.simulate import simulate_scan

SHOWN = [2, 0, 1, 2, 1, 2]


def content():
    """What a laboratory's file holds: six trials of three images, four neurons."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 1, 36, 64))
    return {
        "images": pixels[SHOWN].astype(np.float32),
        "responses": rng.random((6, 4)).astype(np.float32),
        "behavior": rng.random((6, 3)).astype(np.float32),
        "pupil_center": rng.random((6, 2)).astype(np.float32),
        "tiers": np.array([b"test", b"train", b"test", b"test", b"test", b"test"]),
        "types": np.array([b"stimulus.Frame"] * 6),
        "condition_hashes": np.array([b"abc"] * 6),
        "trial_idx": np.arange(6, dtype=np.uint32),
        "neurons/unit_ids": np.array([7, 5, 3, 1], dtype=np.uint16),
        "item_info/frame_image_id": np.array([30, 10, 20], dtype=np.int64)[SHOWN],
        "item_info/frame_image_class": np.array([b"imagenet"] * 6),
    }


def write(path, datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def test_a_laboratory_file(tmp_path):
    expected = content()
    scan = read_static_hdf5(write(tmp_path / "static1-2-3-preproc0.h5", expected))
    assert scan.key.tolist() == ["imagenet/10", "imagenet/20", "imagenet/30"]
    assert scan.key[scan.image].tolist() == [f"imagenet/{i}" for i in expected["item_info/frame_image_id"]]
    np.testing.assert_array_equal(scan.images[scan.image], expected["images"][:, 0])
    np.testing.assert_array_equal(scan.responses, expected["responses"])
    np.testing.assert_array_equal(scan.behavior, expected["behavior"])
    np.testing.assert_array_equal(scan.pupil_center, expected["pupil_center"])
    assert scan.tier.tolist() == ["test", "train", "test", "test", "test", "test"]
    assert scan.unit_id.tolist() == [7, 5, 3, 1]
    assert {i: t.tolist() for i, t in scan.oracle_trials().items()} == {0: [2, 4], 1: [0, 3, 5]}


@pytest.mark.parametrize("prefix", ["", "colorframeprojector_", "frame_"])
def test_column_aliases(tmp_path, prefix):
    datasets = content()
    for column in ("id", "class"):
        values = datasets.pop(f"item_info/frame_image_{column}")
        datasets[f"item_info/{prefix}image_{column}"] = values
    scan = read_static_hdf5(write(tmp_path / "scan.h5", datasets))
    assert scan.key.tolist() == ["imagenet/10", "imagenet/20", "imagenet/30"]


def test_variable_length_strings_and_double_precision_are_read(tmp_path):
    datasets = content()
    reference = read_static_hdf5(write(tmp_path / "bytes.h5", datasets))
    datasets["tiers"] = datasets["tiers"].astype(object)
    datasets["item_info/frame_image_class"] = datasets["item_info/frame_image_class"].astype(object)
    datasets["responses"] = datasets["responses"].astype(np.float64)
    assert_same_scan(read_static_hdf5(write(tmp_path / "strings.h5", datasets)), reference)


def missing(name):
    def change(datasets):
        del datasets[name]

    return change


def replaced(name, value):
    def change(datasets):
        datasets[name] = value

    return change


def assigned(name, index, value):
    def change(datasets):
        datasets[name][index] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (missing("images"), "no dataset 'images'; expected a scan in the static HDF5 layout"),
        (missing("tiers"), "no dataset 'tiers'"),
        (
            missing("item_info/frame_image_id"),
            "no dataset 'item_info/image_id'; expected it or colorframeprojector_image_id or frame_image_id",
        ),
        (missing("item_info/frame_image_class"), "no dataset 'item_info/image_class'"),
        (
            replaced("responses", np.zeros((5, 4), np.float32)),
            r"dataset 'responses' has shape \(5, 4\); expected one row for each of the 6 trials of 'tiers'",
        ),
        (replaced("neurons/unit_ids", np.arange(5)), r"'responses' has shape \(6, 4\); expected \(6, 5\)"),
        (replaced("behavior", np.zeros(6)), r"'behavior' has shape \(6,\); expected \(6, any\)"),
        (
            replaced("tiers", np.array([b"test"])),
            r"'images' has shape .*; expected one row for each of the 1 trials",
        ),
        (
            replaced("responses", np.array([[b"x"] * 4] * 6)),
            r"dataset 'responses' holds \|S1; expected numbers",
        ),
        (
            assigned("responses", ([4, 2], [0, 3]), np.nan),
            "responses holds 2 values that are NaN or infinite, the first in trial 2",
        ),
        (replaced("tiers", np.array([b"\xff\xfe"] * 6)), "dataset 'tiers' is not UTF-8; expected text"),
    ],
)
def test_errors_name_the_file_and_what_is_wrong(tmp_path, change, message):
    datasets = content()
    change(datasets)
    path = write(tmp_path / "scan.h5", datasets)
    with pytest.raises(InputError, match=rf"scan\.h5: .*{message}"):
        read_static_hdf5(path)


@pytest.mark.parametrize(
    "name",
    [
        *("images", "responses", "behavior", "pupil_center", "tiers", "item_info/frame_image_id"),
        *("item_info/frame_image_class", "neurons/unit_ids", "neurons/area", "neurons/layer"),
    ],
)
def test_what_is_no_array_does_not_count_as_missing(tmp_path, name):
    path = write(tmp_path / "scan.h5", content())
    for make, found in (
        (lambda file: file.create_dataset(f"{name}/values", data=np.zeros(6)), "group"),
        (lambda file: file.create_group(name), "group"),
        (lambda file: file.__setitem__(name, np.dtype("f4")), "data type"),
    ):
        with h5py.File(path, "r+") as file:
            if name in file:
                del file[name]
            make(file)
        with pytest.raises(InputError, match=rf"scan\.h5: dataset '{name}' is a {found}; expected an array"):
            read_static_hdf5(path)


def test_neurons_in_one_table_do_not_count_as_missing(tmp_path):
    datasets = {name: values for name, values in content().items() if not name.startswith("neurons/")}
    path = write(tmp_path / "scan.h5", datasets | {"neurons": np.zeros(4, [("unit_ids", "i4")])})
    with pytest.raises(InputError, match=r"scan\.h5: 'neurons' is a dataset; expected a group"):
        read_static_hdf5(path)


def test_other_files_are_refused(tmp_path):
    path = write(tmp_path / "scan.h5", content())
    whole = path.read_bytes()
    with pytest.raises(InputError, match=r"absent\.h5: no such file"):
        read_static_hdf5(tmp_path / "absent.h5")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"scan\.h5: is a truncated HDF5 file; expected a scan in the static"
    ):
        read_static_hdf5(path)
    path.write_bytes(b"something else entirely")
    with pytest.raises(InputError, match=r"scan\.h5: is not a readable HDF5 file"):
        read_static_hdf5(path)
    path.write_bytes(whole)
    write_record(path, read_static_hdf5(path))
    with pytest.raises(InputError, match=r"scan\.h5: is a neuroreg file of kind 'scan'"):
        read_static_hdf5(path)


def test_damaged_data_are_refused(tmp_path):
    datasets = content()
    responses = datasets.pop("responses")
    path = write(tmp_path / "scan.h5", datasets)
    with h5py.File(path, "a") as file:
        file.create_dataset("responses", data=responses, chunks=(6, 4), fletcher32=True)
        offset = file["responses"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(path.read_bytes())
    damaged[offset] ^= 0xFF
    path.write_bytes(damaged)
    expected = r"scan\.h5: cannot be read to the end \(filter returned failure.*\); expected a scan"
    with pytest.raises(InputError, match=expected):
        read_static_hdf5(path)


@pytest.fixture(scope="module")
def simulated():
    stimuli = make_stimuli("photographs", 300, 20, seed=5)
    return simulate_scan(stimuli, n_neurons=12, oracle_repeats=4, seed=5, name="a").scan


def test_simulated_scan_survives_both_files_to_the_digit(tmp_path, simulated):
    write_static_hdf5(tmp_path / "lab.h5", simulated)
    scan = read_static_hdf5(tmp_path / "lab.h5")
    assert_same_scan(scan, simulated)
    write_record(tmp_path / "scan.h5", scan, inputs=[tmp_path / "lab.h5"])
    assert_same_scan(read_record(tmp_path / "scan.h5", Scan), simulated)


def test_written_file_has_the_laboratory_layout(tmp_path, simulated):
    write_static_hdf5(tmp_path / "lab.h5", simulated)
    trials = len(simulated.image)
    with h5py.File(tmp_path / "lab.h5") as file:
        assert dict(file.attrs) == {}
        assert file["images"].shape == (trials, 1, 36, 64) and file["images"].dtype == np.float32
        assert (
            file["tiers"].dtype.kind == file["types"].dtype.kind == file["condition_hashes"].dtype.kind == "S"
        )
        assert file["trial_idx"].dtype == np.uint32
        assert set(file["types"][()]) == {b"stimulus.Frame"}
        for a, b in ((0, 1), (5, 200)):
            same_image = simulated.image[a] == simulated.image[b]
            assert (file["condition_hashes"][a] == file["condition_hashes"][b]) == same_image
        assert len(set(file["condition_hashes"][()])) == len(simulated.images)
        for group in ("all", "stimulus.Frame"):
            statistics = file[f"statistics/responses/{group}"]
            np.testing.assert_allclose(statistics["mean"], simulated.responses.mean(axis=0), rtol=1e-5)
            np.testing.assert_allclose(
                statistics["median"], np.median(simulated.responses, axis=0), rtol=1e-5
            )
        pixels = simulated.images[simulated.image]
        np.testing.assert_allclose(file["statistics/images/all/mean"], [pixels.mean()], rtol=1e-5)
        np.testing.assert_allclose(file["statistics/images/all/std"], [pixels.std()], rtol=1e-5)


def test_writing_is_reproducible_and_leaves_nothing_behind_when_it_fails(tmp_path, simulated):
    write_static_hdf5(tmp_path / "a.h5", simulated)
    write_static_hdf5(tmp_path / "b.h5", simulated)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    (tmp_path / "c.h5").mkdir()
    with pytest.raises(OSError, match=r"c\.h5"):
        write_static_hdf5(tmp_path / "c.h5", simulated)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5", "c.h5"]
