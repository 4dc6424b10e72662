import io
import re
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from neuroreg.errors import InputError
from neuroreg.scans import readers
from neuroreg.scans.readers import Reader, find_reader
from neuroreg.scans.scan import Scan

PAGE = (Path(__file__).parents[2] / "docs" / "scans.md").read_text()


@pytest.mark.parametrize("name", ["scan.h5", "scan.zip", "scan"])
@pytest.mark.parametrize("user_block", [0, 512, 4096])
def test_hdf5_is_told_by_content(tmp_path, name, user_block):
    with h5py.File(tmp_path / name, "w", userblock_size=user_block) as file:
        file["responses"] = np.zeros(3)
    assert find_reader(tmp_path / name).name == "static_hdf5"


@pytest.mark.parametrize("name", ["scan.h5", "scan.zip", "scan"])
def test_a_zip_is_told_by_content(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("data/images/0.npy", b"")
    assert find_reader(tmp_path / name).name == "filetree"


@pytest.mark.parametrize("root", ["", "static1-2-3", "lurz2020/static1-2-3"])
def test_a_folder_is_told_by_its_folders(tmp_path, root):
    (tmp_path / "scan.h5" / root / "data").mkdir(parents=True)
    (tmp_path / "scan.h5" / root / "meta").mkdir()
    assert find_reader(tmp_path / "scan.h5").name == "filetree"


@pytest.mark.parametrize("folders", [[], ["data"], ["a/data", "b/meta"], ["a/b/c/data", "a/b/c/meta"]])
def test_another_folder_is_refused(tmp_path, folders):
    for folder in folders:
        (tmp_path / "scan" / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "scan").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"scan: is a folder without folders 'data' and 'meta'"):
        find_reader(tmp_path / "scan")


def tar(mode):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{mode}") as file:
        file.addfile(tarfile.TarInfo("data"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"<!doctype html>\n<title>Not Found</title>", "an HTML page"),
        (b"\xef\xbb\xbf  <HTML lang=en>", "an HTML page"),
        (b"<!-- cached --><html>", "an HTML page"),
        (b"neuron,response\n1,0.5\n", "a text file"),
        ("Größe\n".encode() * 2000, "a text file"),
        (b"PK is how a zip starts", "a text file"),
        (tar(""), "a tar archive"),
        (tar("gz"), "a gzip file"),
        (tar("xz"), "an xz file"),
        (tar("bz2"), "a bzip2 file"),
        (b"\x93NUMPY\x01\x00", "a single NumPy array"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file of a version before 7.3"),
        (
            b"/annex/objects/MD5-s1024--5d41402abc4b2a76b9719d911017c592\n",
            "a git-annex pointer, not the file",
        ),
        (b".git/annex/objects/zf/K2/MD5-s1--5d/MD5-s1--5d", "a git-annex pointer, not the file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file"),
        (bytes(range(256)), "a file of unknown kind"),
        ("Größe".encode("latin-1"), "a file of unknown kind"),
    ],
)
def test_another_file_is_refused_with_what_it_is(tmp_path, content, found):
    (tmp_path / "scan.h5").write_bytes(content)
    with pytest.raises(
        InputError, match=rf"scan\.h5: is {found}.*; expected a scan as static HDF5, or in the"
    ):
        find_reader(tmp_path / "scan.h5")


def test_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent: no such file or folder; expected a scan as static HDF5"):
        find_reader(tmp_path / "absent")


def test_the_documented_format_works(tmp_path, monkeypatch):
    """The example of a new format in docs/scans.md, put together as it says."""
    module, line = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(module, names)
    entry = eval(line, names | {"Reader": Reader})
    monkeypatch.setattr(readers, "READERS", (entry, *readers.READERS))
    with pytest.raises(InputError, match="expected a scan as a NumPy archive, or as static HDF5, or in the"):
        find_reader(tmp_path / "absent")

    rng = np.random.default_rng(0)
    content = {
        "images": rng.integers(0, 256, (3, 36, 64), np.uint8),
        "shown": np.array([2, 0, 1, 2]),
        "tier": np.array(["test", "train", "validation", "test"]),
        "responses": rng.random((4, 5)),
    }
    np.savez(tmp_path / "session.dat", **content)
    (tmp_path / "session.dat.npz").rename(tmp_path / "session.dat")
    reader = find_reader(tmp_path / "session.dat")
    assert reader.name == "npz"
    scan = reader.read(tmp_path / "session.dat")
    assert isinstance(scan, Scan)
    np.testing.assert_array_equal(scan.images, content["images"])
    np.testing.assert_array_equal(scan.image, content["shown"])
    np.testing.assert_array_equal(scan.responses, content["responses"].astype(np.float32))
    assert scan.oracle_trials().keys() == {2}

    content["responses"][1, 2] = np.nan
    np.savez(tmp_path / "gap.npz", **content)
    with pytest.raises(InputError, match=r"gap\.npz: scan: responses holds 1 values that are NaN"):
        reader.read(tmp_path / "gap.npz")
    assert reader.read(tmp_path / "gap.npz", "drop_trials").image.tolist() == [1, 0, 1]
    assert reader.read(tmp_path / "gap.npz", "drop_neurons").unit_id.tolist() == [0, 1, 3, 4]
    content["responses"][1, 2] = 0

    np.savez(tmp_path / "short.npz", **content | {"shown": np.array([2, 0])})
    with pytest.raises(InputError, match=r"short\.npz: scan: "):
        reader.read(tmp_path / "short.npz")
    del content["tier"]
    np.savez(tmp_path / "less.npz", **content)
    with pytest.raises(
        InputError, match=r"less\.npz: .*tier.*; expected the arrays images, shown, tier, responses"
    ):
        reader.read(tmp_path / "less.npz")
    content["tier"] = np.array(["test", "train", "validation", "test"])
    for name, values, message in (
        ("images", content["images"] / 255, "images float64 up to 1.0; expected gray levels 0 to 255"),
        ("images", content["images"] // 200, "images uint8 up to 1; expected gray levels 0 to 255"),
        ("shown", content["shown"] + 0.5, "expected whole numbers in shown"),
        ("responses", content["responses"][:, 0], "a row for each trial in responses"),
        ("tier", content["tier"].astype(object), "expected arrays of numbers and text, undamaged"),
    ):
        np.savez(tmp_path / "wrong.npz", **content | {name: values})
        with pytest.raises(InputError, match=rf"wrong\.npz: .*{message}"):
            reader.read(tmp_path / "wrong.npz")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        archive.writestr("data/images/0.npy", b"")
    assert find_reader(tmp_path / "scan.zip").name == "filetree"
