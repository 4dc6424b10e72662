"""Scans written as the lab's files, without the library: one description, three forms."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np

from neuroreg.scans.filetree import read_filetree
from neuroreg.scans.scan import Scan
from neuroreg.scans.static_hdf5 import read_static_hdf5

# Where a part of the description stands; other names are taken as they are.
HDF5_NAMES = {
    "image_id": "item_info/frame_image_id",
    "image_class": "item_info/frame_image_class",
    "unit_ids": "neurons/unit_ids",
    "area": "neurons/area",
    "layer": "neurons/layer",
}
FILETREE_NAMES = {
    "images": "data/images",
    "responses": "data/responses",
    "behavior": "data/behavior",
    "pupil_center": "data/pupil_center",
    "tiers": "meta/trials/tiers",
    "image_id": "meta/trials/frame_image_id",
    "image_class": "meta/trials/frame_image_class",
    "unit_ids": "meta/neurons/unit_ids",
    "area": "meta/neurons/area",
    "layer": "meta/neurons/layer",
}


def npy(values, **kwargs):
    """The bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, values, **kwargs)
    return stream.getvalue()


def filetree_files(parts):
    """Bytes by name, in an order in which nobody should read them."""
    files = {"config.json": b"{}"}
    for part, values in parts.items():
        name = FILETREE_NAMES.get(part, part)
        if name.startswith("data/"):
            files |= {f"{name}/{trial}.npy": npy(row) for trial, row in enumerate(values)}
        else:
            files[f"{name}.npy"] = npy(values)
    return {name: files[name] for name in sorted(files, reverse=True)}


def write_folder(path, parts):
    for name, data in filetree_files(parts).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def write_zip(path, parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in filetree_files(parts).items():
            archive.writestr(name, data)


def write_hdf5(path, parts):
    with h5py.File(path, "w") as file:
        for part, values in parts.items():
            values = np.asarray(values)
            text = values.dtype.kind == "U"
            file.create_dataset(
                HDF5_NAMES.get(part, part),
                data=values.astype(object) if text else values,
                dtype=h5py.string_dtype() if text else None,
            )


FORMS = {
    "static_hdf5": (write_hdf5, read_static_hdf5),
    "folder": (write_folder, read_filetree),
    "zip": (write_zip, read_filetree),
}


def read_as(form, folder, parts, missing="refuse"):
    """Write `parts` in a form and read the file or folder."""
    write, read = FORMS[form]
    path = Path(folder) / f"lab.{form}"
    write(path, parts)
    return read(path, missing)


def assert_same_scan(a, b):
    for name in Scan.__dataclass_fields__:
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype.kind == y.dtype.kind, name
        np.testing.assert_array_equal(x, y, err_msg=name)
