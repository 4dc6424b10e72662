"""Reader of the lab's static HDF5 layout, ``static{animal}-{session}-{scan}-preproc{k}.h5``."""

from pathlib import Path

import h5py
import numpy as np

from neuroreg.errors import InputError
from neuroreg.scans.scan import TIERS, Scan
from neuroreg.storage import open_foreign_h5

_EXPECTED = "a scan in the static HDF5 layout"
_NUMBERS = ("images", "responses", "behavior", "pupil_center", "neurons/unit_ids")
# Files of different years name the columns differently; the first one present counts.
_ID_COLUMNS = ("image_id", "colorframeprojector_image_id", "frame_image_id")
_CLASS_COLUMNS = ("image_class", "colorframeprojector_image_class", "frame_image_class")
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
        _column(file, _ID_COLUMNS): (trials,),
        _column(file, _CLASS_COLUMNS): (trials,),
    }
    for name, shape in shapes.items():
        if file[name].shape != shape or not trials:
            raise InputError(
                f"dataset '{name}' has shape {file[name].shape}; expected {shape}, at least 1 trial."
            )


def _column(file: h5py.File, aliases: tuple[str, ...]) -> str:
    for alias in aliases:
        if isinstance(file.get(f"item_info/{alias}"), h5py.Dataset):
            return f"item_info/{alias}"
    raise InputError(f"no dataset 'item_info/{aliases[0]}'; expected it or {' or '.join(aliases[1:])}.")


def _read(file: h5py.File) -> Scan:
    classes, ids = _texts(file[_column(file, _CLASS_COLUMNS)]), _texts(file[_column(file, _ID_COLUMNS)])
    keys = np.array([f"{c}/{i}" for c, i in zip(classes, ids, strict=True)], dtype=np.str_)
    tier = _texts(file["tiers"])
    unknown = sorted(set(tier) - set(TIERS))
    if unknown:
        raise InputError(f"tier '{unknown[0]}' in 'tiers'; expected train, validation or test.")
    key, image = np.unique(keys, return_inverse=True)
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
    """Return bytes, variable-length strings or integers as str."""
    values = dataset[()]
    if values.dtype.kind in "SO":
        try:
            values = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
        except UnicodeDecodeError as error:
            raise InputError(f"dataset '{dataset.name.strip('/')}' is not UTF-8; expected text.") from error
    return np.asarray(values).astype(np.str_)


def _distinct_images(dataset: h5py.Dataset, key: np.ndarray, image: np.ndarray) -> np.ndarray:
    images = np.empty((len(key), 36, 64), np.uint8)
    seen = np.zeros(len(key), np.bool_)
    brightest = 0.0
    for start in range(0, len(image), _BLOCK):
        block = dataset.astype(np.float32)[start : start + _BLOCK]
        if not (block.min() >= -0.5 and block.max() <= 255.5):  # also refuses NaN
            raise InputError(
                f"images hold values from {block.min():g} to {block.max():g}; expected gray levels 0 to 255."
            )
        brightest = max(brightest, float(block.max()))
        for trial, pixels in enumerate(np.clip(np.rint(block[:, 0]), 0, 255).astype(np.uint8), start):
            index = image[trial]
            if not seen[index]:
                images[index], seen[index] = pixels, True
            elif not np.array_equal(images[index], pixels):
                raise InputError(
                    f"key '{key[index]}' has other pixels in trial {trial} than before; "
                    f"expected one image per key."
                )
    if brightest <= 1:
        raise InputError(f"images reach {brightest:g} at most; expected gray levels 0 to 255.")
    return images
