"""What results hold, for comparing runs that need not have the same history."""

import hashlib

import h5py
import numpy as np


def content(path):
    """A digest of what a result holds: of HDF5 datasets and ``config``, else all.

    Left out of HDF5 is ``inputs``, which names what a file was made from: a joined search is made from parts.
    """
    digest = hashlib.sha256()
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            found = {}
            file.visititems(lambda name, item: found.update({name: item}))
            for name, item in sorted(found.items()):
                digest.update(name.encode())
                if isinstance(item, h5py.Dataset):
                    values = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
                    array = np.asarray(values)
                    digest.update(f"{item.dtype} {array.shape}".encode())
                    digest.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
            for name in ("kind", "schema_version", "config"):
                digest.update(str(file.attrs.get(name)).encode())
        return digest.hexdigest()
    digest.update(path.read_bytes())
    return digest.hexdigest()


def contents(results, suffixes=(".h5", ".csv", ".safetensors", ".json", ".tex", ".pdf", ".svg")):
    """Each result's digest by its name; the page is none, which shows config and times, nor are logs."""
    return {
        path.relative_to(results).as_posix(): content(path)
        for path in sorted(results.rglob("*"))
        if path.suffix in suffixes and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
    }
