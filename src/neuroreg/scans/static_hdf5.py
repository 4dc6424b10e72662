"""Reader of the lab's static HDF5 layout, ``static{animal}-{session}-{scan}-preproc{k}.h5``."""

from pathlib import Path

import h5py
import numpy as np

from neuroreg.errors import InputError
from neuroreg.file_kinds import head, is_hdf5
from neuroreg.scans.columns import CLASS_COLUMNS, ID_COLUMNS, find_column, image_keys, texts
from neuroreg.scans.images import DistinctImages
from neuroreg.scans.scan import TIERS, Scan
from neuroreg.storage import open_foreign_h5

_EXPECTED = "a scan in the static HDF5 layout"
_NUMBERS = ("images", "responses", "behavior", "pupil_center", "neurons/unit_ids")
_BLOCK = 256  # trials read at once: 2.4 MB of images


def read_static_hdf5(path: str | Path) -> Scan:
    """Return the scan in a file of the lab's static HDF5 layout.

    The file has the root datasets ``images`` float32 (T, 1, 36, 64) in 0..255, ``responses`` (T, N),
    ``behavior`` (T, B), ``pupil_center`` (T, 2) and ``tiers`` bytes (T,), the columns ``item_info/*image_id``
    and ``item_info/*image_class`` (T,), and ``neurons/unit_ids`` (N,). Gray levels are rounded to uint8. An
    image is kept once, under the key ``class/id``, and the images are sorted by key.

    Raises
    ------
    InputError
        If the file is missing, truncated or of another layout, if a value is out of place (NaN, unknown tier,
        gray level outside 0..255), or if one key stands for images with different pixels.
    """
    with open_foreign_h5(path, _EXPECTED) as file:
        try:
            _check_layout(file)
            return _read(file)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (OSError, RuntimeError) as error:
            raise InputError(f"{path}: cannot be read to the end; expected {_EXPECTED}.") from error


def recognises_static_hdf5(path: Path) -> bool:
    """Say whether `path` is an HDF5 file."""
    return path.is_file() and is_hdf5(head(path))


def _check_layout(file: h5py.File) -> None:
    if "kind" in file.attrs:
        raise InputError(f"is a neuroreg file of kind '{file.attrs['kind']}'; expected {_EXPECTED}.")
    for name in (*_NUMBERS, "tiers"):
        if not isinstance(file.get(name), h5py.Dataset):
            raise InputError(f"no dataset '{name}'; expected {_EXPECTED}.")
    for name in _NUMBERS:
        if file[name].dtype.kind not in "fiu":
            raise InputError(f"dataset '{name}' holds {file[name].dtype}; expected numbers.")
    trials = file["images"].shape[0] if file["images"].ndim else 0
    behaviors = file["behavior"].shape[1] if file["behavior"].ndim == 2 else 3
    neurons = file["neurons/unit_ids"].size
    shapes = {
        "images": (trials, 1, 36, 64),
        "responses": (trials, neurons),
        "behavior": (trials, behaviors),
        "pupil_center": (trials, 2),
        "tiers": (trials,),
        "neurons/unit_ids": (neurons,),
        _column(file, ID_COLUMNS): (trials,),
        _column(file, CLASS_COLUMNS): (trials,),
    }
    for name, shape in shapes.items():
        if file[name].shape != shape or not trials:
            raise InputError(
                f"dataset '{name}' has shape {file[name].shape}; expected {shape}, at least 1 trial."
            )


def _column(file: h5py.File, aliases: tuple[str, ...]) -> str:
    return find_column(
        aliases, "item_info/*", "dataset", lambda name: isinstance(file.get(name), h5py.Dataset)
    )


def _read(file: h5py.File) -> Scan:
    classes, ids = _texts(file[_column(file, CLASS_COLUMNS)]), _texts(file[_column(file, ID_COLUMNS)])
    tier = _texts(file["tiers"])
    unknown = sorted(set(tier) - set(TIERS))
    if unknown:
        raise InputError(f"tier '{unknown[0]}' in 'tiers'; expected train, validation or test.")
    key, image = np.unique(image_keys(classes, ids), return_inverse=True)
    return Scan(
        images=_distinct_images(file["images"], key, image),
        key=key,
        image=image.astype(np.int64),
        tier=tier,
        responses=file["responses"].astype(np.float32)[()],
        behavior=file["behavior"].astype(np.float32)[()],
        pupil_center=file["pupil_center"].astype(np.float32)[()],
        unit_id=file["neurons/unit_ids"][()].astype(np.int64),
    )


def _texts(dataset: h5py.Dataset) -> np.ndarray:
    return texts(dataset[()], f"dataset '{dataset.name.strip('/')}'")


def _distinct_images(dataset: h5py.Dataset, key: np.ndarray, image: np.ndarray) -> np.ndarray:
    images = DistinctImages(key)
    for start in range(0, len(image), _BLOCK):
        block = dataset.astype(np.float32)[start : start + _BLOCK, 0]
        images.add(image[start : start + _BLOCK], block, range(start, start + len(block)))
    return images.collected()
