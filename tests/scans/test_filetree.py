import io
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from lab_files import assert_same_scan, npy

from neuroreg.errors import InputError
from neuroreg.images.stimuli import make_stimuli
from neuroreg.scans.filetree import read_filetree
from neuroreg.scans.readers import find_reader
from neuroreg.scans.static_hdf5 import read_static_hdf5, write_static_hdf5
from neuroreg.simulator.simulate import simulate_scan

# Twelve trials, so that 10 and 11 come before 2 as text; image 2 has four test trials, image 1 three.
SHOWN = [2, 0, 1, 2, 3, 1, 4, 2, 5, 1, 2, 6]
TIERS = ["train" if image in (0, 3) else "validation" if image in (4, 5, 6) else "test" for image in SHOWN]
ROOT = "static1-2-3-GrayImageNet/"


def content():
    """What a laboratory publishes: arrays per trial, columns over trials, facts about four neurons."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 1, 36, 64)).astype(np.float32)
    return {
        "data/images": pixels[SHOWN],
        "data/responses": rng.random((12, 4)),
        "data/behavior": rng.random((12, 3)),
        "data/pupil_center": rng.random((12, 2)),
        "meta/trials/tiers": np.array(TIERS),
        "meta/trials/frame_image_id": np.array(SHOWN) * 10,
        "meta/trials/frame_image_class": np.array(["imagenet"] * 12),
        "meta/trials/trial_idx": np.arange(12)[::-1],
        "meta/neurons/unit_ids": np.array([7, 5, 3, 1], dtype=np.uint16),
        "meta/neurons/layer": np.array(["L2/3"] * 4),
    }


def files_of(arrays):
    """Bytes by name, in an order in which nobody should read them."""
    files = {"config.json": b"{}", "meta/statistics/images/all/mean.npy": npy(np.zeros(1))}
    for name, values in arrays.items():
        if name.startswith("data/"):
            files |= {f"{name}/{trial}.npy": npy(row) for trial, row in enumerate(values)}
        else:
            files[f"{name}.npy"] = npy(values)
    return {name: files[name] for name in sorted(files, reverse=True)}


def write_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=[write_folder, write_zip])
def write(request, tmp_path):
    return lambda files: request.param(tmp_path / "lab.scan", files)


def written(tmp_path, **changes):
    return write_zip(tmp_path / "scan.zip", files_of(content() | changes))


@pytest.mark.parametrize("root", ["", ROOT, f"lurz2020/{ROOT}"])
def test_a_published_scan(write, root):
    path = write({root + name: data for name, data in files_of(content()).items()})
    expected = content()
    scan = find_reader(path).read(path)
    assert scan.key.tolist() == [f"imagenet/{i}" for i in (0, 10, 20, 30, 40, 50, 60)]
    assert scan.key[scan.image].tolist() == [f"imagenet/{10 * image}" for image in SHOWN]
    np.testing.assert_array_equal(scan.images[scan.image], expected["data/images"][:, 0])
    for name in ("responses", "behavior", "pupil_center"):
        np.testing.assert_array_equal(getattr(scan, name), expected[f"data/{name}"].astype(np.float32))
    assert scan.tier.tolist() == TIERS
    assert scan.unit_id.tolist() == [7, 5, 3, 1]
    repeats = {int(i): t.tolist() for i, t in scan.oracle_trials().items()}
    assert repeats == {1: [2, 5, 9], 2: [0, 3, 7, 10]}


@pytest.mark.parametrize("prefix", ["", "colorframeprojector_", "frame_"])
def test_column_aliases(tmp_path, prefix):
    arrays = content()
    for column in ("id", "class"):
        arrays[f"meta/trials/{prefix}image_{column}"] = arrays.pop(f"meta/trials/frame_image_{column}")
    scan = read_filetree(write_zip(tmp_path / "scan.zip", files_of(arrays)))
    assert scan.key[scan.image].tolist() == [f"imagenet/{10 * image}" for image in SHOWN]


def test_bytes_rows_and_other_precision_read_the_same(tmp_path):
    reference = read_filetree(written(tmp_path))
    arrays = content()
    for column in ("tiers", "frame_image_id", "frame_image_class"):
        arrays[f"meta/trials/{column}"] = arrays[f"meta/trials/{column}"].astype(np.bytes_)
    for kind in ("behavior", "pupil_center"):
        arrays[f"data/{kind}"] = arrays[f"data/{kind}"][:, np.newaxis].astype(">f8")
    arrays["data/images"] = np.asfortranarray(arrays["data/images"].astype(np.uint8))
    assert_same_scan(read_filetree(write_zip(tmp_path / "bytes.zip", files_of(arrays))), reference)


def missing(*names):
    def change(files):
        for name in names:
            del files[name]

    return change


def replaced(name, values):
    def change(files):
        files[name] = values if isinstance(values, bytes) else npy(values)

    return change


def shortened(name):
    def change(files):
        files[name] = files[name][:-1]

    return change


def npz():
    stream = io.BytesIO()
    np.savez(stream, np.zeros(4))
    return stream.getvalue()


UNREADABLE = r"is damaged or pickled \(.+\); expected an array in the \.npy format\.$"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            missing("meta/trials/tiers.npy"),
            r"holds 0 files 'meta/trials/tiers\.npy'; expected one, of a scan in the FileTree layout",
        ),
        (
            missing("meta/trials/frame_image_id.npy"),
            r"no file 'meta/trials/image_id\.npy'; expected it or colorframeprojector_image_id or frame_",
        ),
        (missing("meta/trials/frame_image_class.npy"), r"no file 'meta/trials/image_class\.npy'"),
        (
            missing("data/pupil_center/10.npy", "data/pupil_center/3.npy"),
            r"no file 'data/pupil_center/3\.npy' \(2 missing in all\); expected .* for the 12 trials",
        ),
        (
            replaced("data/responses/12.npy", np.zeros(4)),
            r"file 'data/responses/12\.npy' \(1 surplus in all\); expected .* for the 12 trials",
        ),
        (replaced("meta/trials/tiers.npy", np.array(TIERS[:11])), r"'data/behavior/11\.npy' \(4 surplus"),
        (replaced("meta/trials/tiers.npy", np.array("train")), r"'meta/trials/tiers\.npy' has shape \(\)"),
        (replaced("meta/trials/tiers.npy", np.array([b"\xff"] * 12)), r"tiers\.npy' is not UTF-8"),
        (
            replaced("meta/neurons/unit_ids.npy", np.arange(5)),
            r"'data/responses/0\.npy' has shape \(4,\); expected \(5,\) or \(1, 5\)",
        ),
        (
            replaced("data/responses/10.npy", np.zeros(3)),
            r"'data/responses/10\.npy' has shape \(3,\); expected \(4,\)",
        ),
        (
            replaced("data/behavior/3.npy", np.zeros(2)),
            r"'data/behavior/3\.npy' has shape \(2,\); expected \(3,\)",
        ),
        (replaced("data/pupil_center/3.npy", np.zeros(3)), r"'data/pupil_center/3\.npy' has shape \(3,\)"),
        (
            replaced("data/responses/7.npy", np.array(["a"] * 4)),
            r"'data/responses/7\.npy' holds <U1; expected numbers",
        ),
        (
            replaced("data/responses/7.npy", [0, np.nan, 1, np.inf]),
            r"'data/responses/7\.npy' holds 2 values that are NaN or infinite; expected finite values",
        ),
        (replaced("data/responses/7.npy", [0, 1e300, 1, 1]), r"'data/responses/7\.npy' holds 1 values that"),
        (replaced("data/behavior/7.npy", [0, np.nan, 1]), r"'data/behavior/7\.npy' holds 1 values that"),
        (shortened("data/responses/2.npy"), "'data/responses/2.npy' " + UNREADABLE),
        (replaced("data/images/2.npy", b"something else"), "'data/images/2.npy' " + UNREADABLE),
        (replaced("data/images/2.npy", b""), "'data/images/2.npy' " + UNREADABLE),
        (replaced("data/responses/2.npy", npz()), "'data/responses/2.npy' " + UNREADABLE),
        (replaced("meta/trials/tiers.npy", b"\x93NUMPY\x01\x00"), "'meta/trials/tiers.npy' " + UNREADABLE),
        *(
            (
                replaced("data/behavior/0.npy", npy(np.zeros(3)).replace(old, new)),
                "behavior/0.npy' " + UNREADABLE,
            )
            for old, new in (
                (b"(3,)", b"(10000000000000000,)"),
                (b"(3,)", b"(3,,"),
                (b"(3,)", b"(-1,)"),
                (b"'<f8'", b"'|O8'"),
                (b"\x93NUMPY\x01", b"\x93NUMPY\x09"),
            )
        ),
    ],
)
def test_errors_name_the_file_and_what_is_wrong(write, change, message):
    files = files_of(content())
    change(files)
    path = write(files)
    with pytest.raises(InputError, match=rf"lab\.scan: .*{message}"):
        read_filetree(path)


@pytest.mark.parametrize("root", ["", ROOT])
@pytest.mark.parametrize("kind", ["behavior", "pupil_center"])
@pytest.mark.parametrize(
    "named", ["{}/{:05d}.npy", "{}/trial_{}.npy", "{}/{}.npz", "{}/all/{}.npy", "{}/{}.csv", "{}.npy"]
)
def test_other_names_do_not_count_as_missing(write, root, kind, named):
    files = files_of(content())
    others = {}
    for trial in range(len(TIERS)):
        others[named.format(f"data/{kind}", trial)] = files.pop(f"data/{kind}/{trial}.npy")
    path = write({root + name: data for name, data in (files | others).items()})
    message = (
        f"lab.scan: holds '{min(others)}' ({len(others)} such files in all), but no 'data/{kind}/0.npy'; "
        f"expected data/{kind}/{{i}}.npy for trials i = 0, 1, 2, ..., or nothing of the name '{kind}'."
    )
    with pytest.raises(InputError, match=re.escape(message) + "$"):
        read_filetree(path)


def test_hidden_files_and_empty_folders_are_no_covariates(write, tmp_path):
    files = {name: data for name, data in files_of(content()).items() if "/behavior/" not in name}
    path = write(files | {"data/behavior/._0.npy": b"junk", "data/behavior/.cache/0.npy": b"junk"})
    assert read_filetree(path).behavior.shape == (len(TIERS), 0)


def test_pickles_are_not_executed(write, tmp_path):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    pickled = npy(np.array([Payload()] * 4, dtype=object), allow_pickle=True)
    path = write(files_of(content()) | {"data/responses/5.npy": pickled})
    with pytest.raises(InputError, match="'data/responses/5.npy' " + UNREADABLE):
        read_filetree(path)
    assert not (tmp_path / "executed").exists()
    np.load(io.BytesIO(pickled), allow_pickle=True)
    assert (tmp_path / "executed").exists()


def test_names_outside_the_layout_are_ignored(tmp_path):
    reference = read_filetree(written(tmp_path))
    surplus = (
        "../data/images/12.npy",
        "../../data/images/0.npy",
        "/data/images/12.npy",
        "..\\data\\images\\12.npy",
        "./data/images/12.npy",
        "data/../data/images/12.npy",
        "data/images/../12.npy",
        "data/images/012.npy",
        "data/images/-1.npy",
        "data/images/\u0663.npy",
        "data/images/0.npy.orig",
        "data/videos/12.npy",
        f"__MACOSX/{ROOT}data/images/._0.npy",
        "data/images/._0.npy",
        "elsewhere/data/images/12.npy",
    )
    path = write_zip(tmp_path / "odd.zip", files_of(content()) | dict.fromkeys(surplus, b"junk"))
    before = sorted(tmp_path.parent.rglob("*"))
    assert_same_scan(read_filetree(path), reference)
    assert sorted(tmp_path.parent.rglob("*")) == before
    outside = {f"../{name}": data for name, data in files_of(content()).items()}
    with pytest.raises(InputError, match=r"holds 0 files 'meta/trials/tiers\.npy'"):
        read_filetree(write_zip(tmp_path / "outside.zip", outside))


def test_two_scans_at_once_are_refused(write):
    files = files_of(content())
    path = write({root + name: data for root in ("a/", "b/") for name, data in files.items()})
    with pytest.raises(InputError, match=r"lab\.scan: holds 2 files 'meta/trials/tiers\.npy'; expected one"):
        read_filetree(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent: no such file or folder; expected a scan in the FileTree"):
        read_filetree(tmp_path / "absent")
    (tmp_path / "scan.zip").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InputError, match=r"scan\.zip: is not a folder or a complete zip file"):
        read_filetree(tmp_path / "scan.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds 0 files 'meta/trials/tiers\.npy'"):
        read_filetree(tmp_path / "empty")


def test_a_damaged_archive_is_refused_or_reads_the_same(tmp_path):
    path = written(tmp_path)
    reference = read_filetree(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for position in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[position] ^= rng.integers(1, 256)
        path.write_bytes(damaged)
        try:
            assert_same_scan(read_filetree(path), reference)
        except InputError as error:
            assert "scan.zip: " in str(error)
            refused += 1
    assert refused > 200
    for length in rng.integers(0, len(whole), 20):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"scan\.zip: is not a folder or a complete zip file"):
            read_filetree(path)


def test_responses_fill_memory_once(tmp_path):
    neurons, trials = 20_000, 120
    arrays = {
        name: np.concatenate([values] * 10) if len(values) == 12 else values
        for name, values in content().items()
    }
    arrays["data/responses"] = np.ones((trials, neurons))
    path = write_zip(
        tmp_path / "scan.zip",
        files_of(
            arrays
            | {"meta/neurons/unit_ids": np.arange(neurons), "meta/neurons/layer": np.full(neurons, "L4")}
        ),
    )
    del arrays
    tracemalloc.start()
    scan = read_filetree(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scan.responses.nbytes == 4 * trials * neurons
    assert peak < 1.6 * scan.responses.nbytes


def test_a_simulated_scan_reads_as_through_static_hdf5(write, tmp_path):
    stimuli = make_stimuli("photographs", 40, 5, seed=5)
    simulated = simulate_scan(stimuli, n_neurons=12, oracle_repeats=4, seed=5, name="a").scan
    classes, ids = np.array([key.rsplit("/", 1) for key in simulated.key]).T
    files = files_of(
        {
            "data/images": simulated.images[simulated.image][:, np.newaxis].astype(np.float32),
            "data/responses": simulated.responses.astype(np.float64),
            "data/behavior": simulated.behavior,
            "data/pupil_center": simulated.pupil_center,
            "meta/trials/tiers": simulated.tier,
            "meta/trials/frame_image_id": ids[simulated.image],
            "meta/trials/frame_image_class": classes[simulated.image],
            "meta/neurons/unit_ids": simulated.unit_id,
            "meta/neurons/area": simulated.area,
            "meta/neurons/layer": simulated.layer,
        }
    )
    write_static_hdf5(tmp_path / "lab.h5", simulated)
    scan = read_filetree(write(files))
    assert_same_scan(scan, read_static_hdf5(tmp_path / "lab.h5"))
    assert_same_scan(scan, simulated)


@pytest.mark.skipif(
    not os.environ.get("NEUROREG_REAL_SCAN"),
    reason="NEUROREG_REAL_SCAN names no folder or zip of the public scan static20457-5-9",
)
def test_the_public_scan_20457_5_9():
    scan = read_filetree(os.environ["NEUROREG_REAL_SCAN"])
    tiers, counts = np.unique(scan.tier, return_counts=True)
    assert dict(zip(tiers.tolist(), counts.tolist(), strict=True)) == {
        "train": 4472,
        "validation": 522,
        "test": 999,
    }
    assert scan.images.shape == (5094, 36, 64)
    assert scan.responses.shape == (5993, 5335)
    repeats = sorted(len(trials) for trials in scan.oracle_trials().values())
    assert repeats == [9] + [10] * 99
    assert scan.withheld_tiers() == ()
