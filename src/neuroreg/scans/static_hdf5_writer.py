"""Writer of the lab's static HDF5 layout, so that simulated scans enter the workflow as measured ones do."""

import base64
import hashlib
from pathlib import Path

import h5py
import numpy as np

from neuroreg.scans.scan import Scan
from neuroreg.storage import atomic_path

_STIMULUS_TYPE = "stimulus.Frame"
_BLOCK = 256


def write_static_hdf5(path: str | Path, scan: Scan) -> None:
    """Write `scan` in the lab's static HDF5 layout: one row per trial, its image included.

    Besides what `static_hdf5.read_static_hdf5` reads, the file has ``types``, ``condition_hashes``,
    ``trial_idx`` and ``statistics/*/{all, stimulus.Frame}/{mean, std, min, max, median}`` as the lab's files
    do. Nothing is left at `path` if writing fails.
    """
    trials = len(scan.image)
    classes, ids = zip(*(key.rsplit("/", 1) for key in scan.key), strict=True)
    hashes = [base64.b64encode(hashlib.sha256(image.tobytes()).digest()[:15]) for image in scan.images]
    per_trial = {
        "responses": scan.responses,
        "behavior": scan.behavior,
        "pupil_center": scan.pupil_center,
        "tiers": _bytes(scan.tier),
        "types": _bytes([_STIMULUS_TYPE] * trials),
        "condition_hashes": np.array(hashes)[scan.image],
        "trial_idx": np.arange(trials, dtype=np.uint32),
        "item_info/frame_image_class": _bytes(classes)[scan.image],
        "item_info/frame_image_id": _bytes(ids)[scan.image],
        "item_info/trial_idx": np.arange(trials, dtype=np.uint32),
    }
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        for name, values in per_trial.items():
            file.create_dataset(name, data=values)
        file.create_dataset("neurons/unit_ids", data=scan.unit_id)
        file.create_dataset("neurons/area", data=_bytes(scan.area))
        file.create_dataset("neurons/layer", data=_bytes(scan.layer))
        images = file.create_dataset("images", (trials, 1, 36, 64), np.float32)
        for start in range(0, trials, _BLOCK):
            images[start : start + _BLOCK, 0] = scan.images[scan.image[start : start + _BLOCK]]
        for name in ("responses", "behavior", "pupil_center"):
            _write_statistics(file, name, per_trial[name])
        # One number for all pixels, as the lab has it: pixels share their units, neurons do not.
        _write_statistics(file, "images", scan.images[scan.image].reshape(-1, 1))


def _bytes(texts: np.ndarray | list[str] | tuple[str, ...]) -> np.ndarray:
    return np.char.encode(np.asarray(texts, dtype=np.str_), "utf-8")


def _write_statistics(file: h5py.File, name: str, values: np.ndarray) -> None:
    for summary in ("mean", "std", "min", "max", "median"):
        columns = [getattr(np, summary)(values[:, n]) for n in range(values.shape[1])]
        for group in ("all", _STIMULUS_TYPE):
            file.create_dataset(f"statistics/{name}/{group}/{summary}", data=np.array(columns, np.float32))
