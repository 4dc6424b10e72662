"""Content that is elsewhere, packed by something not installed, or written by other programs' habits."""

import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from lab_files import FORMS, HDF5_NAMES, assert_same_scan, filetree_files, read_as, write_hdf5, write_zip
from rights import without_rights

from neuroreg.errors import InputError
from neuroreg.files.refusals import refusal
from neuroreg.scans.filetree import read_filetree
from neuroreg.scans.readers import find_reader
from neuroreg.scans.static_hdf5 import read_static_hdf5


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    shown = np.array([0, 1, 2, 3, 2, 3])
    return {
        "images": rng.integers(0, 256, (4, 1, 36, 64)).astype(np.float32)[shown],
        "responses": rng.random((6, 5)).astype(np.float32) + 1,
        "behavior": rng.random((6, 3)).astype(np.float32),
        "pupil_center": rng.random((6, 2)).astype(np.float32),
        "tiers": np.array(["train", "train", "test", "validation", "test", "test"]),
        "image_id": shown,
        "image_class": np.array(["imagenet"] * 6),
        "unit_ids": np.arange(5),
        "area": np.array(["V1", "V1", "LM", "V1", "V1"]),
        "layer": np.array(["L4"] * 5),
    }


def refused(read, path):
    with pytest.raises(InputError) as caught:
        read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ") and "\n" not in sentence
    return sentence.removeprefix(f"{path}: ")


# HDF5: values that are in another place


@pytest.mark.parametrize("name", ["responses", "behavior", "tiers", "image_class"])
def test_a_virtual_dataset_is_read_and_refused_without_its_source(tmp_path, parts, name):
    whole = tmp_path / "whole.h5"
    write_hdf5(whole, parts)
    reference = read_static_hdf5(whole)
    place, source, path = HDF5_NAMES.get(name, name), tmp_path / "source.h5", tmp_path / "virtual.h5"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "a") as file, h5py.File(source, "w") as other:
        values = file[place]
        dtype = values.dtype if values.dtype.kind == "f" else "S10"
        stored = other.create_dataset("stored", data=values[()].astype(dtype))
        layout = h5py.VirtualLayout(stored.shape, stored.dtype)
        layout[:] = h5py.VirtualSource("source.h5", "stored", stored.shape)
        del file[place]
        file.create_virtual_dataset(place, layout)
    assert_same_scan(read_static_hdf5(path), reference)
    source.rename(tmp_path / "elsewhere.h5")
    assert refused(read_static_hdf5, path) == (
        f"dataset '{place}' is virtual and its source, the file 'source.h5', is not there; expected it "
        "beside this file, or a copy with the values inside."
    )
    with h5py.File(source, "w") as other:
        other["another"] = [1]
    assert "the dataset 'stored' of file 'source.h5', is not there" in refused(read_static_hdf5, path)


def test_values_in_a_raw_file_are_read_and_refused_without_it(tmp_path, parts):
    path = tmp_path / "scan.h5"
    write_hdf5(path, parts)
    reference = read_static_hdf5(path)
    responses = parts["responses"]
    responses.tofile(tmp_path / "raw.bin")
    with h5py.File(path, "a") as file:
        del file["responses"]
        external = [(str(tmp_path / "raw.bin"), 0, responses.nbytes)]
        file.create_dataset("responses", responses.shape, responses.dtype, external=external)
    assert_same_scan(read_static_hdf5(path), reference)
    (tmp_path / "raw.bin").unlink()
    assert "dataset 'responses' keeps its values in the file " in refused(read_static_hdf5, path)


@pytest.mark.parametrize("name", ["responses", "pupil_center", "neurons/area"])
def test_links_are_followed_and_named_where_they_lead_nowhere(tmp_path, parts, name):
    path, other = tmp_path / "scan.h5", tmp_path / "other.h5"
    write_hdf5(path, parts)
    reference = read_static_hdf5(path)
    with h5py.File(path, "a") as file, h5py.File(other, "w") as kept:
        file.copy(name, kept, "kept")
        del file[name]
        file[name] = h5py.ExternalLink("other.h5", "kept")
    assert_same_scan(read_static_hdf5(path), reference)
    with h5py.File(other, "a") as kept:
        kept.move("kept", "moved")
    expected = f"dataset '{name}' is a link to 'kept' in the file 'other.h5', which leads to no dataset;"
    assert refused(read_static_hdf5, path).startswith(expected)
    other.unlink()
    expected = f"dataset '{name}' is a link to the file 'other.h5', which is not there; expected it inside"
    assert refused(read_static_hdf5, path).startswith(expected)
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = h5py.SoftLink("/nothing")
    assert refused(read_static_hdf5, path).startswith(
        f"dataset '{name}' is a link to '/nothing', which leads"
    )


@pytest.mark.parametrize(("number", "called"), [(32001, "blosc"), (32015, "zstd"), (31999, "mine")])
def test_a_filter_that_is_not_installed_is_named(tmp_path, parts, number, called):
    assert not h5py.h5z.filter_avail(number)
    path = tmp_path / "scan.h5"
    write_hdf5(path, parts)
    with h5py.File(path, "a") as file:
        del file["responses"]
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_chunk((6, 5))
        create.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((6, 5))
        dataset = h5py.h5d.create(file.id, b"responses", h5py.h5t.IEEE_F32LE, space, create)
        dataset.write_direct_chunk((0, 0), parts["responses"].tobytes(), 0)
    sentence = refused(read_static_hdf5, path)
    wanted = called if number != 31999 else "unknown"
    assert (
        f"dataset 'responses' is packed with the filter {wanted} ({number}), which is not installed"
        in sentence
    )


# HDF5: files that another program holds


def test_a_file_that_was_not_closed_is_told_from_a_damaged_one(tmp_path, parts):
    path = tmp_path / "scan.h5"
    code = (
        "import h5py, os, sys\n"
        "file = h5py.File(sys.argv[1], 'w', libver='latest'); file['x'] = [1]; file.flush(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    sentence = refused(read_static_hdf5, path)
    assert sentence.startswith(
        "was not closed by the program that wrote it, or is open there (if not, 'h5clear -s"
    )


def test_a_file_open_elsewhere_is_no_damaged_one(tmp_path, parts):
    path = tmp_path / "scan.h5"
    write_hdf5(path, parts)
    code = (
        "import sys; from neuroreg.scans.static_hdf5 import read_static_hdf5\n"
        "from neuroreg.files.refusals import refusal\n"
        "try: read_static_hdf5(sys.argv[1])\n"
        "except OSError as error: print(refusal(error))\n"
    )
    with h5py.File(path, "a"):
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{path}: open in another program, for writing; close it there")


def test_what_is_no_hdf5_is_named(tmp_path):
    path = tmp_path / "scan.h5"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert refused(read_static_hdf5, path).startswith(
        "is not a readable HDF5 file but a Git LFS pointer, not the"
    )


# All forms: texts


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", [" ", "\n", "\t ", "\0"])
def test_texts_are_stripped(tmp_path, parts, form, end):
    (tmp_path / "plain").mkdir()
    reference = read_as(form, tmp_path / "plain", parts)
    padded = dict(parts)
    for name in ("tiers", "area", "layer", "image_class"):
        texts = [text + end for text in parts[name]]
        padded[name] = np.array([text.encode() for text in texts]) if end == "\0" else np.array(texts)
    (tmp_path / "padded").mkdir()
    assert_same_scan(read_as(form, tmp_path / "padded", padded), reference)


# FileTree, in a folder and in a zip


def test_a_zip_with_backslashes_is_read(tmp_path, parts):
    write_zip(tmp_path / "plain.zip", parts)
    path = tmp_path / "windows.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in filetree_files(parts).items():
            archive.writestr("scan\\" + name.replace("/", "\\"), data)
    assert b"scan\\meta\\trials\\tiers.npy" in path.read_bytes()
    assert_same_scan(find_reader(path).read(path, "refuse"), read_filetree(tmp_path / "plain.zip"))


def changed_headers(path, change):
    """Apply `change(content, offset, flags, method)` to the headers of each member, local and central."""
    content = bytearray(path.read_bytes())
    for signature, flags, method in ((b"PK\x03\x04", 6, 8), (b"PK\x01\x02", 8, 10)):
        start = -1
        while (start := content.find(signature, start + 1)) >= 0:
            change(content, start + flags, start + method)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("method", "name"), [(9, "Deflate64"), (93, "Zstandard"), (99, "AES"), (77, "an unknown")]
)
def test_how_a_zip_is_packed_is_named(tmp_path, parts, method, name):
    path = tmp_path / "scan.zip"
    write_zip(path, parts)

    def change(content, flags, place):
        content[place : place + 2] = method.to_bytes(2, "little")

    changed_headers(path, change)
    sentence = refused(read_filetree, path)
    assert f"is packed with {name}" in sentence and f"(method {method}); expected deflate" in sentence


def test_an_encrypted_zip_is_named(tmp_path, parts):
    path = tmp_path / "scan.zip"
    write_zip(path, parts)

    def change(content, flags, place):
        content[flags] |= 1

    changed_headers(path, change)
    assert refused(read_filetree, path).endswith("is encrypted; expected a zip without a password.")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_a_zip_holds_twice_is_refused(tmp_path, parts):
    path = tmp_path / "scan.zip"
    write_zip(path, parts)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data\\responses\\0.npy", b"other")
    assert refused(read_filetree, path) == "holds 'data/responses/0.npy' twice; expected each file once."


def test_a_folder_of_links_is_read_and_a_broken_one_named(tmp_path, parts):
    FORMS["folder"][0](tmp_path / "store", parts)
    path = tmp_path / "scan"
    path.mkdir()
    (path / "meta").symlink_to(tmp_path / "store" / "meta")
    for kind in ("images", "responses", "behavior", "pupil_center"):
        (path / "data" / kind).mkdir(parents=True)
        for file in (tmp_path / "store" / "data" / kind).iterdir():
            (path / "data" / kind / file.name).symlink_to(file)
    assert_same_scan(read_filetree(path), read_filetree(tmp_path / "store"))
    (tmp_path / "store" / "data" / "responses" / "3.npy").unlink()
    assert refused(read_filetree, path).startswith(
        "'data/responses/3.npy' is a link to a file that is not there"
    )


@pytest.mark.parametrize("place", ["", "data", "data/responses", "meta/trials", "data/responses/0.npy"])
def test_missing_rights_in_a_folder_are_told(parts, place):
    with without_rights() as folder:
        path = folder / "scan"
        FORMS["folder"][0](path, parts)
        mode = (path / place).stat().st_mode
        (path / place).chmod(0)
        try:
            with pytest.raises(PermissionError) as caught:
                find_reader(path).read(path, "refuse")
        finally:
            (path / place).chmod(mode)
        assert refusal(caught.value).startswith(f"{os.path.normpath(path / place)}")
        assert ": no permission; expected the right to read it" in refusal(caught.value)
