"""Scans that are damaged, wrong or hostile, each made from a good one."""

import bz2
import io
import os
import random
import struct
import zipfile
import zlib

import h5py
import numpy as np
from lab_files import HDF5_NAMES, filetree_files, npy, write_folder, write_hdf5, write_zip

from neuroreg.errors import InputError
from neuroreg.files.refusals import refusal
from neuroreg.scans.readers import find_reader

CASES = {}
"""Name to kind, description and the function that makes the scan in a folder and returns its path."""
TRIALS, NEURONS = 12, 4
FORMAT = "{0.__class__} %s %n $HOME `id` \x1b[31m\nnext line"


def case(kind, description, name=None):
    """Register a case under its function's name."""

    def register(make):
        CASES[name or make.__name__] = (kind, description, make)
        return make

    return register


def good():
    """A description of a small scan, as `lab_files` takes it."""
    rng = np.random.default_rng(0)
    image = np.arange(TRIALS)
    image[-2:] = image[-4:-2]  # two images shown twice
    return {
        "images": rng.integers(0, 256, (TRIALS, 1, 36, 64))[image].astype(np.float32),
        "responses": rng.gamma(1, size=(TRIALS, NEURONS)).astype(np.float32),
        "behavior": rng.normal(size=(TRIALS, 3)).astype(np.float32),
        "pupil_center": rng.normal(size=(TRIALS, 2)).astype(np.float32),
        "tiers": np.array(["train"] * 5 + ["validation"] * 3 + ["test"] * 4),
        "image_id": np.array([f"{i:03d}" for i in image]),
        "image_class": np.array(["imagenet"] * TRIALS),
        "unit_ids": np.arange(1, NEURONS + 1),
        "area": np.array(["V1"] * NEURONS),
        "layer": np.array(["L2/3"] * NEURONS),
    }


def hdf5(folder, parts=None):
    path = folder / "scan.h5"
    write_hdf5(path, parts or good())
    return path


def zipped(folder, parts=None):
    path = folder / "scan.zip"
    write_zip(path, parts or good())
    return path


def replaced(**parts):
    return good() | parts


def rezipped(folder, change):
    """A zip whose files `change` has changed: a mapping of names to bytes."""
    files = filetree_files(good())
    change(files)
    path = folder / "scan.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


# Cut off, and with flipped bits.

for _share in (0, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999):
    for _form, _write in (("HDF5", hdf5), ("zip", zipped)):

        @case(
            "truncated", f"{_form} of which {_share:.2%} is left", f"cut_{_form}_{_share:g}".replace(".", "_")
        )
        def _cut(folder, share=_share, write=_write):
            path = write(folder)
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
            return path


def flip(path, bits, start, stop):
    """Flip bits of a file, each drawn in a range of its bytes, negative ones from its end."""
    data, rng = bytearray(path.read_bytes()), random.Random(bits)
    start, stop = (place % len(data) if place < 0 else min(place, len(data)) for place in (start, stop))
    for _ in range(abs(bits)):
        data[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


for _bits in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):

    @case(
        "flipped bits", f"HDF5, {_bits} flipped bits in its structure (bytes 8 to 900)", f"flip_hdf5_{_bits}"
    )
    def _flip_hdf5(folder, bits=_bits):
        path = hdf5(folder)
        flip(path, bits, 8, 900)
        return path

    @case("flipped bits", f"zip, {_bits} flipped bits in its directory", f"flip_zip_{_bits}")
    def _flip_zip(folder, bits=_bits):
        path = zipped(folder)
        flip(path, bits, -1500, len(path.read_bytes()))
        return path

    @case("flipped bits", f"zip, {_bits} flipped bits in what it holds", f"flip_zip_data_{_bits}")
    def _flip_zip_data(folder, bits=_bits):
        path = zipped(folder)
        flip(path, bits, 30, 60_000)
        return path


@case("flipped bits", "HDF5 with checksums, one flipped bit in the responses")
def flip_checksum(folder):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        del file["responses"]
        made = file.create_dataset("responses", data=good()["responses"], chunks=(TRIALS, 4), fletcher32=True)
        place = made.id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place + 5] ^= 4
    path.write_bytes(data)
    return path


@case("flipped bits", "HDF5, a flipped bit in a chunk packed by gzip")
def flip_gzip(folder):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        del file["images"]
        made = file.create_dataset("images", data=good()["images"], chunks=(4, 1, 36, 64), compression="gzip")
        place = made.id.get_chunk_info(1).byte_offset
    data = bytearray(path.read_bytes())
    data[place + 100] ^= 16
    path.write_bytes(data)
    return path


# Something else in its place.

for _name, _what, _bytes in (
    ("empty", "an empty file", b""),
    ("html", "a page that says not found", b"<!DOCTYPE html><html><body>404</body></html>"),
    ("lfs", "a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    ("csv", "a table", b"neuron,response\n1,0.5\n"),
    ("gzip", "a gzip file", b"\x1f\x8b\x08\x00" + bytes(40)),
    ("npy", "a single array", npy(np.zeros(3))),
    ("pickle", "a pickle", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x04data\x94."),
    ("matlab5", "a MATLAB file of version 5", b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90)),
    ("zeros", "a megabyte of zeros", bytes(1_000_000)),
    ("noise", "random bytes", random.Random(0).randbytes(50_000)),
    ("signature", "HDF5's signature and nothing else", b"\x89HDF\r\n\x1a\n"),
    (
        "userblock",
        "HDF5's signature after a block of another's, nothing else",
        bytes(512) + b"\x89HDF\r\n\x1a\n",
    ),
    ("zipend", "the end of an empty zip", b"PK\x05\x06" + bytes(18)),
    ("zipstart", "the first bytes of a zip", b"PK\x03\x04" + bytes(60)),
):

    @case("another kind", _what, f"other_{_name}")
    def _other(folder, content=_bytes):
        path = folder / "scan.h5"
        path.write_bytes(content)
        return path


@case("another kind", "an empty folder")
def empty_folder(folder):
    path = folder / "scan"
    path.mkdir()
    return path


@case("another kind", "folders data and meta with nothing in them")
def hollow_folder(folder):
    for name in ("data", "meta"):
        (folder / "scan" / name).mkdir(parents=True)
    return folder / "scan"


@case("another kind", "a named pipe that nobody writes to")
def named_pipe(folder):
    os.mkfifo(folder / "scan.h5")
    return folder / "scan.h5"


@case("another kind", "a device")
def device(folder):
    (folder / "scan.h5").symlink_to("/dev/zero")
    return folder / "scan.h5"


@case("another kind", "a file of this project's own")
def own_kind(folder):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        file.attrs["kind"] = FORMAT
    return path


@case("another kind", "HDF5 without anything in it")
def hdf5_empty(folder):
    h5py.File(folder / "scan.h5", "w").close()
    return folder / "scan.h5"


@case("another kind", "HDF5 that its writer has not closed")
def not_closed(folder):
    path = folder / "scan.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("responses", (4, 4), "f4", maxshape=(None, 4), chunks=(1, 4))
        file.swmr_mode = True
        file.flush()
        data = path.read_bytes()
    path.write_bytes(data)
    return path


@case("another kind", "a zip in which two scans lie")
def two_scans(folder):
    def change(files):
        for name in list(files):
            files[f"another/{name}"] = files[name]

    return rezipped(folder, change)


@case("another kind", "a zip of a zip of a scan")
def zip_in_zip(folder):
    inner = zipped(folder)
    path = folder / "outer.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, "scan.zip")
    return path


# Links and members that lead elsewhere.


@case("leads elsewhere", "a zip whose members' names lead out of it")
def zip_slip(folder):
    def change(files):
        for name in list(files):
            files[f"../../{name}"] = files.pop(name)

    return rezipped(folder, change)


@case("leads elsewhere", "a zip whose members' names begin at the root")
def zip_absolute(folder):
    def change(files):
        for name in list(files):
            files[f"/tmp/{name}"] = files.pop(name)

    return rezipped(folder, change)


@case("leads elsewhere", "a zip in which a link to /etc/passwd stands for the responses of a trial")
def zip_link(folder):
    path = rezipped(folder, lambda files: files.pop("data/responses/3.npy"))
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("data/responses/3.npy")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return path


def folder_with_link(folder, target):
    write_folder(folder / "scan", good())
    link = folder / "scan" / "data" / "responses" / "3.npy"
    link.unlink()
    link.symlink_to(target)
    return folder / "scan"


for _name, _what, _target in (
    ("passwd", "a link to another file", "/etc/passwd"),
    ("nowhere", "a link to nothing", "/nowhere/3.npy"),
    ("itself", "a link to itself", "3.npy"),
    ("folder", "a link to a folder", "/etc"),
    ("zero", "a link to an endless device", "/dev/zero"),
):

    @case(
        "leads elsewhere", f"a folder in which {_what} stands for the responses of a trial", f"link_{_name}"
    )
    def _link(folder, target=_target):
        return folder_with_link(folder, target)


@case("leads elsewhere", "a folder in which a named pipe stands for the responses of a trial")
def link_pipe(folder):
    os.mkfifo(folder / "pipe")
    return folder_with_link(folder, folder / "pipe")


def changed(folder, name, make):
    """A file in which `make`, given the open file, puts something else in the place of `name`."""
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        del file[name]
        make(file)
    return path


def relinked(folder, name, value):
    return changed(folder, name, lambda file: file.__setitem__(name, value))


def kept_in(folder, name):
    """Responses that a file of raw bytes keeps."""
    raw = [(name, 0, 4 * TRIALS * NEURONS)]
    shape = (TRIALS, NEURONS)
    return changed(
        folder, "responses", lambda file: file.create_dataset("responses", shape, "f4", external=raw)
    )


for _part in ("responses", "images", "tiers", "neurons/area", "item_info/frame_image_id"):
    _plain = _part.replace("/", "_")

    @case("leads elsewhere", f"HDF5, {_part} a link to a file that is no HDF5", f"external_passwd_{_plain}")
    def _external(folder, part=_part):
        return relinked(folder, part, h5py.ExternalLink("/etc/passwd", "/x"))

    @case("leads elsewhere", f"HDF5, {_part} a link to a file that is not there", f"external_gone_{_plain}")
    def _external_gone(folder, part=_part):
        return relinked(folder, part, h5py.ExternalLink("../../gone.h5", "/x"))

    @case("leads elsewhere", f"HDF5, {_part} a link to nothing in the file", f"soft_gone_{_plain}")
    def _soft(folder, part=_part):
        return relinked(folder, part, h5py.SoftLink("/gone"))


@case("leads elsewhere", "HDF5, responses a link to itself")
def soft_itself(folder):
    return relinked(folder, "responses", h5py.SoftLink("/responses"))


@case("leads elsewhere", "HDF5, responses a link to the file itself, and so on")
def external_itself(folder):
    return relinked(folder, "responses", h5py.ExternalLink("scan.h5", "/responses"))


@case("leads elsewhere", "HDF5, responses kept in /etc/passwd as raw bytes")
def external_raw(folder):
    return kept_in(folder, "/etc/passwd")


@case("leads elsewhere", "HDF5, responses kept in a file that is not there")
def external_raw_gone(folder):
    return kept_in(folder, "gone.raw")


@case("leads elsewhere", "HDF5, responses virtual, of a file that is not there")
def virtual_gone(folder):
    layout = h5py.VirtualLayout((TRIALS, NEURONS), "f4")
    layout[:] = h5py.VirtualSource("gone.h5", "x", (TRIALS, NEURONS), "f4")
    return changed(folder, "responses", lambda file: file.create_virtual_dataset("responses", layout))


@case("leads elsewhere", "HDF5, responses virtual, of themselves")
def virtual_itself(folder):
    path = hdf5(folder)
    layout = h5py.VirtualLayout((TRIALS, NEURONS), "f4")
    layout[:] = h5py.VirtualSource(".", "responses", (TRIALS, NEURONS), "f4")
    with h5py.File(path, "r+") as file:
        del file["responses"]
        file.create_virtual_dataset("responses", layout)
    return path


def with_references(folder, name, region=False):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        count = len(file[name])
        target = file["images"]
        kept = [target.regionref[0:1] if region else target.ref] * count
        del file[name]
        file.create_dataset(name, (count,), dtype=h5py.regionref_dtype if region else h5py.ref_dtype)
        for index, reference in enumerate(kept):
            file[name][index] = reference
    return path


for _part in ("tiers", "neurons/area", "item_info/frame_image_class"):
    _plain = _part.replace("/", "_")

    @case(
        "leads elsewhere", f"HDF5, {_part} as object references, as MATLAB has texts", f"references_{_plain}"
    )
    def _references(folder, part=_part):
        return with_references(folder, part)


@case("leads elsewhere", "HDF5, item_info/frame_image_id as references to regions")
def regions(folder):
    return with_references(folder, "item_info/frame_image_id", region=True)


# Little that unpacks to much.


@case("bomb", "a zip in which the responses of a trial unpack to 2 GB")
def zip_bomb(folder):
    path = rezipped(folder, lambda files: files.pop("data/responses/3.npy"))
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (500_000_000,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("data/responses/3.npy", "w") as stream,
    ):
        stream.write(header.getvalue())
        for _ in range(20):
            stream.write(bytes(100_000_000))
    return path


def overlapping(path, names, content, size):
    """A zip of which all members are the same packed bytes, as Fifield's bombs have them."""
    packed = bz2.compress(content)
    crc = zlib.crc32(content)
    local, directory = b"", b""
    for name in names:
        told = struct.pack("<HHHHHIIIHH", 46, 0, 12, 0, 0, crc, len(packed), size, len(name), 0)
        directory += b"PK\x01\x02\x14\x00" + told + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name.encode()
        local = local or b"PK\x03\x04" + told + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(directory), len(local), 0)
    path.write_bytes(local + directory + b"PK\x05\x06" + end)


@case("bomb", "a zip of 2,000 members that are the same bytes and unpack to 100 GB in all")
def zip_overlap(folder):
    path = folder / "scan.zip"
    names = [f"data/responses/{trial}.npy" for trial in range(2000)]
    overlapping(path, ["meta/trials/tiers.npy", *names], bytes(50_000_000), 50_000_000)
    return path


@case("bomb", "a zip member that says it is 8 exabytes")
def zip_claim(folder):
    path = zipped(folder)
    data = bytearray(path.read_bytes())
    name = data.rindex(b"data/responses/3.npy")  # in the directory
    data[name - 46 + 24 : name - 46 + 28] = b"\xfe\xff\xff\xff"
    path.write_bytes(data)
    return path


@case("bomb", "an array whose header claims 8 exabytes")
def npy_claim(folder):
    def change(files):
        stream = io.BytesIO()
        shape = {"descr": "<f8", "fortran_order": False, "shape": (10**18,)}
        np.lib.format.write_array_header_1_0(stream, shape)
        files["data/responses/3.npy"] = stream.getvalue() + bytes(32)

    return rezipped(folder, change)


@case("bomb", "HDF5, responses of 10 GB of which nothing is stored")
def hdf5_unwritten(folder):
    shape = (TRIALS, 200_000_000)
    return changed(
        folder, "responses", lambda file: file.create_dataset("responses", shape, "f4", chunks=(1, 1000))
    )


@case("bomb", "HDF5, images of 40,000 times the size, of which nothing is stored")
def hdf5_large_images(folder):
    shape, chunks = (TRIALS, 1, 7200, 12800), (1, 1, 720, 1280)
    return changed(folder, "images", lambda file: file.create_dataset("images", shape, "f4", chunks=chunks))


@case("bomb", "HDF5, a column of a billion texts of which nothing is stored")
def hdf5_many_texts(folder):
    return changed(
        folder, "tiers", lambda file: file.create_dataset("tiers", (10**9,), "S10", chunks=(1000,))
    )


@case("bomb", "HDF5, a chunk of 300 kB that unpacks to 300 MB, ten times")
def hdf5_gzip_bomb(folder):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        del file["responses"]
        shape = (TRIALS, 75_000_000)
        made = file.create_dataset("responses", shape, "f4", chunks=(1, shape[1]), compression="gzip")
        packed = zlib.compress(bytes(4 * shape[1]), 1)
        for trial in range(10):
            made.id.write_direct_chunk((trial, 0), packed)
    return path


# Wrong shapes, types and values.

_SHAPES = {
    "images_flat": ("images of two dimensions", {"images": np.zeros((TRIALS, 2304), np.float32)}),
    "images_colour": ("images of three channels", {"images": np.full((TRIALS, 3, 36, 64), 9, np.float32)}),
    "images_size": ("images of 37x64 pixels", {"images": np.full((TRIALS, 1, 37, 64), 9, np.float32)}),
    "images_turned": ("images of 64x36 pixels", {"images": np.full((TRIALS, 1, 64, 36), 9, np.float32)}),
    "images_none": ("images without pixels", {"images": np.zeros((TRIALS, 1, 0, 0), np.float32)}),
    "images_few": ("one image too few", {"images": good()["images"][:-1]}),
    "images_nan": ("images of NaN", {"images": np.full((TRIALS, 1, 36, 64), np.nan, np.float32)}),
    "images_huge": ("gray levels of 1e30", {"images": np.full((TRIALS, 1, 36, 64), 1e30, np.float32)}),
    "images_below": ("negative gray levels", {"images": good()["images"] - 128}),
    "images_unit": ("gray levels 0 to 1", {"images": good()["images"] / 255}),
    "images_text": ("images of text", {"images": np.full((TRIALS, 1, 36, 64), "x")}),
    "images_complex": ("complex images", {"images": good()["images"].astype(np.complex64)}),
    "images_swapped": ("one key for two images", {"image_id": np.array(["0"] * TRIALS)}),
    "responses_flat": ("responses of one dimension", {"responses": np.zeros(TRIALS, np.float32)}),
    "responses_deep": ("responses of three dimensions", {"responses": np.zeros((TRIALS, 2, 2), np.float32)}),
    "responses_turned": ("responses with neurons first", {"responses": good()["responses"].T}),
    "responses_none": ("responses of no neuron", {"responses": np.zeros((TRIALS, 0), np.float32)}),
    "responses_nan": ("a response that is NaN", {"responses": np.where(np.eye(12, 4), np.nan, 1.0)}),
    "responses_inf": ("a response that is infinite", {"responses": np.where(np.eye(12, 4), np.inf, 1.0)}),
    "responses_huge": ("responses that single precision cannot hold", {"responses": np.full((12, 4), 1e300)}),
    "responses_text": ("responses of text", {"responses": np.full((TRIALS, NEURONS), "1.0")}),
    "responses_bool": ("responses that are true or false", {"responses": np.ones((TRIALS, NEURONS), bool)}),
    "behavior_flat": ("behavior of one dimension", {"behavior": np.zeros(TRIALS, np.float32)}),
    "behavior_nan": ("behavior of NaN", {"behavior": np.full((TRIALS, 3), np.nan, np.float32)}),
    "pupil_three": ("pupil positions of three numbers", {"pupil_center": np.zeros((TRIALS, 3), np.float32)}),
    "pupil_few": ("one pupil position too few", {"pupil_center": np.zeros((TRIALS - 1, 2), np.float32)}),
    "tiers_numbers": ("tiers as decimals", {"tiers": np.arange(TRIALS) + 0.5}),
    "tiers_unknown": ("tiers of unknown names", {"tiers": np.array([FORMAT] * TRIALS)}),
    "tiers_empty": ("tiers of empty texts", {"tiers": np.array([""] * TRIALS)}),
    "tiers_square": ("tiers of two dimensions", {"tiers": good()["tiers"].reshape(6, 2)}),
    "tiers_few": ("one tier too few", {"tiers": good()["tiers"][:-1]}),
    "no_trials": (
        "no trials",
        {name: values[:0] for name, values in good().items() if name[:2] in "imrebeputi"},
    ),
    "ids_few": ("one image id too few", {"image_id": good()["image_id"][:-1]}),
    "ids_decimal": ("image ids as decimals", {"image_id": np.arange(12) + 0.5}),
    "ids_format": ("one key, of format characters, for all", {"image_id": np.array([FORMAT] * TRIALS)}),
    "ids_long": ("one key, of 100,000 letters, for all", {"image_id": np.array(["x" * 100_000] * TRIALS)}),
    "units_text": ("unit ids of text", {"unit_ids": np.array(list("abcd"))}),
    "units_decimal": ("unit ids as decimals", {"unit_ids": np.arange(NEURONS) + 0.5}),
    "units_twice": ("a unit id twice", {"unit_ids": np.array([1, 2, 2, 3])}),
    "units_few": ("one unit id too few", {"unit_ids": np.arange(NEURONS - 1)}),
    "units_large": (
        "unit ids that no 64 bits hold with a sign",
        {"unit_ids": np.array([1, 2, 3, 2**64 - 1], "u8")},
    ),
    "units_none": ("no unit ids", {"unit_ids": np.arange(0)}),
    "area_few": ("one area too few", {"area": np.array(["V1"] * (NEURONS - 1))}),
    "area_square": ("areas of two dimensions", {"area": np.full((NEURONS, 2), "V1")}),
}
for _name, (_what, _parts) in _SHAPES.items():

    @case("shapes, types, values", f"HDF5, {_what}", f"hdf5_{_name}")
    def _shape_hdf5(folder, parts=_parts):
        return hdf5(folder, replaced(**parts))

    # What the other form says about rows it shares with this one.
    if _name.split("_")[0] in ("images", "responses", "pupil", "tiers", "units") and _name != "images_text":

        @case("shapes, types, values", f"zip, {_what}", f"zip_{_name}")
        def _shape_zip(folder, parts=_parts):
            return zipped(folder, replaced(**parts))


for _part in ("images", "responses", "tiers", "image_id", "image_class"):

    @case("shapes, types, values", f"HDF5 without {_part}", f"hdf5_without_{_part}")
    def _without(folder, part=_part):
        return hdf5(folder, {name: values for name, values in good().items() if name != part})


for _part in good():

    @case("shapes, types, values", f"HDF5, {_part} a group", f"hdf5_group_{_part}")
    def _group(folder, part=_part):
        path = hdf5(folder, {name: values for name, values in good().items() if name != part})
        with h5py.File(path, "r+") as file:
            file.create_group(HDF5_NAMES.get(part, part))
        return path


@case("shapes, types, values", "HDF5, behavior a data type")
def hdf5_type(folder):
    return relinked(folder, "behavior", np.dtype("f4"))


@case("shapes, types, values", "HDF5, neurons one table")
def hdf5_table(folder):
    return relinked(folder, "neurons", np.zeros(NEURONS, [("unit_ids", "i4"), ("layer", "i4")]))


@case("shapes, types, values", "HDF5, responses without a value at all")
def hdf5_null(folder):
    return relinked(folder, "responses", h5py.Empty("f4"))


@case("shapes, types, values", "HDF5, responses as a table with columns")
def hdf5_compound(folder):
    return hdf5(folder, replaced(responses=np.zeros(TRIALS, [("a", "f4"), ("b", "i4")])))


@case("shapes, types, values", "HDF5, areas as lists of numbers")
def hdf5_ragged(folder):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        del file["neurons/area"]
        file.create_dataset("neurons/area", (NEURONS,), h5py.vlen_dtype(np.int32))
        for neuron in range(NEURONS):
            file["neurons/area"][neuron] = np.arange(neuron + 1)
    return path


@case("shapes, types, values", "HDF5, responses as bit fields, which NumPy has not")
def hdf5_bitfield(folder):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        del file["responses"]
        space = h5py.h5s.create_simple((TRIALS, NEURONS))
        h5py.h5d.create(file.id, b"responses", h5py.h5t.STD_B8LE, space)
    return path


@case("shapes, types, values", "HDF5, tiers of bytes that are not UTF-8")
def hdf5_latin(folder):
    return relinked(folder, "tiers", np.array([b"caf\xe9"] * TRIALS))


@case("shapes, types, values", "HDF5, packed by a filter that is not installed")
def hdf5_filter(folder):
    path = hdf5(folder)
    with h5py.File(path, "r+") as file:
        del file["responses"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((TRIALS, NEURONS))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((TRIALS, NEURONS))
        h5py.h5d.create(file.id, b"responses", h5py.h5t.IEEE_F32LE, space, plist)
    return path


# Files of a zip that are no plain arrays.


def member(name, content):
    return lambda folder: rezipped(folder, lambda files: files.update({name: content}))


def header(text):
    """The bytes of a .npy file with a header of this text."""
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + bytes(64)


for _name, _what, _file, _content in (
    ("pickled", "responses of objects, which are pickled", "data/responses/3.npy", npy(np.array([{}]))),
    (
        "pickled_tiers",
        "tiers of objects, which are pickled",
        "meta/trials/tiers.npy",
        npy(np.array([{}] * 12)),
    ),
    ("empty", "responses in an empty file", "data/responses/3.npy", b""),
    ("text", "responses in a text", "data/responses/3.npy", b"0.1 0.2"),
    (
        "code",
        "a header that is code",
        "data/responses/3.npy",
        header("__import__('os').system('touch /tmp/x')"),
    ),
    ("deep", "a header of 3,000 brackets", "data/responses/3.npy", header("[" * 3000)),
    (
        "negative",
        "a header with a negative shape",
        "data/responses/3.npy",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}"),
    ),
    (
        "type",
        "a header with an unknown type",
        "data/responses/3.npy",
        header("{'descr': '{0.__class__}', 'fortran_order': False, 'shape': (4,)}"),
    ),
    ("version", "an array of a version to come", "data/responses/3.npy", b"\x93NUMPY\x09\x00" + bytes(64)),
    ("surplus", "a trial too many", "data/responses/12.npy", npy(np.zeros(NEURONS, np.float32))),
):
    CASES[f"npy_{_name}"] = ("no plain array", f"zip, {_what}", member(_file, _content))


@case("no plain array", "zip, a trial's responses missing")
def npy_missing(folder):
    return rezipped(folder, lambda files: files.pop("data/responses/3.npy"))


for _kind in ("images", "responses", "behavior", "pupil_center"):
    for _named, _called in (
        ("{}/{:05d}.npy", "numbers with leading zeros"),
        ("{}/trial_{}.npy", "names that are no numbers"),
        ("{}/{}.npz", "another ending"),
        ("{}/all/{}.npy", "a folder in between"),
        ("{}.npy", "one file for all trials"),
    ):

        @case("no plain array", f"zip, {_kind}: {_called}", f"npy_{_kind}_{_called.replace(' ', '_')}")
        def _renamed(folder, kind=_kind, named=_named):
            def rename(files):
                for trial in range(TRIALS):
                    files[named.format(f"data/{kind}", trial)] = files.pop(f"data/{kind}/{trial}.npy")

            return rezipped(folder, rename)


@case("no plain array", "zip, a file twice")
def npy_twice(folder):
    path = zipped(folder)
    with zipfile.ZipFile(path, "a") as archive:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr("data/responses/3.npy", npy(np.zeros(NEURONS, np.float32)))
    return path


@case("no plain array", "zip, encrypted")
def npy_encrypted(folder):
    path = zipped(folder)
    data = bytearray(path.read_bytes())
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        data[place + 8] |= 1
        place += 4
    path.write_bytes(data)
    return path


@case("no plain array", "zip, packed by Deflate64")
def npy_deflate64(folder):
    path = zipped(folder)
    data = bytearray(path.read_bytes())
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        data[place + 10] = 9
        place += 4
    path.write_bytes(data)
    return path


def sentence_of(path):
    """Return the sentence with which a scan is refused, None if it is read; any other end is a failure."""
    try:
        find_reader(path).read(path, "refuse")
    except InputError as error:
        sentence = str(error)
    except OSError as error:
        sentence = refusal(error)
        assert sentence is not None, error
    else:
        return None
    assert str(path) in sentence, sentence
    assert sentence.isprintable() and sentence.endswith("."), sentence
    assert len(sentence) < 2500
    return sentence
