"""The lab's static HDF5 layout, ``static{animal}-{session}-{scan}-preproc{k}.h5``, read and written.

One row per trial, T of them, of N neurons. The root datasets are ``images`` (T, 1, 36 f, 64 f)
with a whole number f, gray levels 0..255; ``responses`` (T, N); ``tiers`` (T,); and, which may be missing,
``behavior`` (T, B) and ``pupil_center`` (T, 2). Columns over trials are ``item_info/*image_id`` and
``item_info/*image_class`` (T,); over neurons, each of which may be missing, ``neurons/unit_ids``,
``neurons/area`` and ``neurons/layer`` (N,).
"""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.kinds import head, is_hdf5
from neuroreg.files.storage import new_h5, open_foreign_h5
from neuroreg.scans.hdf5_sources import check_content, missing_target
from neuroreg.scans.layout import DROPPING, Layout, expect_image_shape, read_layout
from neuroreg.scans.missing import Missing
from neuroreg.scans.scan import STIMULUS_SHAPE, Scan, refuse_non_finite

_EXPECTED = "a scan in the static HDF5 layout"
_MEASURED = ("responses", "behavior", "pupil_center")
_STIMULUS_TYPE = "stimulus.Frame"
_BLOCK = 64  # trials read at once, at most
_PIXELS = 64 * 144 * 256  # of images read at once: 9.4 MB in single precision
_LARGEST_BLOCK = 1024
_WRITTEN = 256  # trials written at once


def read_static_hdf5(path: str | Path, missing: Missing = "refuse") -> Scan:
    """Return the scan in a file of the lab's static HDF5 layout.

    Of images f times as large blocks of f x f pixels are averaged; gray levels are rounded to uint8. Other
    datasets are ignored. `layout.read_layout` says what becomes of repeats, other tiers, what is missing and
    NaN.

    Raises
    ------
    InputError
        If the file is missing, truncated or of another layout, if a value is out of place (NaN unless
        `missing` drops it, gray level outside 0..255), or if one key stands for images with different pixels.
    """
    with open_foreign_h5(path, _EXPECTED) as file:
        try:
            return read_layout(_StaticHdf5(file), path, missing)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def recognises_static_hdf5(path: Path) -> bool:
    """Say whether `path` is an HDF5 file."""
    return path.is_file() and is_hdf5(head(path))


class _StaticHdf5(Layout):
    """An opened file, and the names in it."""

    holder = "dataset"
    tiers = "tiers"
    trial_columns = "item_info/{}"
    neuron_columns = "neurons/{}"

    def __init__(self, file: h5py.File):
        if "kind" in file.attrs:
            raise InputError(f"is a neuroreg file of kind '{file.attrs['kind']}'; expected {_EXPECTED}.")
        self._file = file
        for name in ("images", "responses", self.tiers):
            self._dataset(name)
        for columns in (self.trial_columns, self.neuron_columns):
            group = columns.partition("/")[0]
            if isinstance(file.get(group), h5py.Dataset):
                raise InputError(f"'{group}' is a dataset; expected a group, of {_EXPECTED}.")

    def __contains__(self, name: str) -> bool:
        # What may be missing as a whole must not be lost to a group, or to a link that leads nowhere.
        return self._file.get(name) is not None or missing_target(self._file, name) is not None

    def _dataset(self, name: str) -> h5py.Dataset:
        dataset = self._file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            target = missing_target(self._file, name)
            if target:
                raise InputError(f"dataset '{name}' is {target}; expected it inside this file.")
            if dataset is not None:
                found = "group" if isinstance(dataset, h5py.Group) else "data type"
                raise InputError(f"dataset '{name}' is a {found}; expected an array, of {_EXPECTED}.")
            raise InputError(f"no dataset '{name}'; expected {_EXPECTED}.")
        check_content(dataset)
        return dataset

    def load(self, name: str) -> np.ndarray:
        return np.asarray(self._dataset(name)[()])

    def check(self, trials: int) -> None:
        for kind in filter(self.has, ("images", *_MEASURED)):
            dataset = self._dataset(kind)
            if dataset.dtype.kind not in "fiu":
                raise InputError(f"dataset '{kind}' holds {dataset.dtype}; expected numbers.")
            if not dataset.ndim or len(dataset) != trials:
                raise InputError(
                    f"dataset '{kind}' has shape {dataset.shape}; "
                    f"expected one row for each of the {trials} trials of '{self.tiers}'."
                )
        expect_image_shape(self._file["images"].shape[1:], "dataset 'images'")

    def has(self, kind: str) -> bool:
        return kind in self

    def rows(self, kind: str, trials: np.ndarray, length: int | None, gaps: bool) -> np.ndarray:
        dataset = self._file[kind]
        if dataset.ndim != 2 or length not in (None, dataset.shape[1]):
            raise InputError(
                f"dataset '{kind}' has shape {dataset.shape}; "
                f"expected ({len(dataset)}, {'any' if length is None else length})."
            )
        values = np.empty((len(trials), dataset.shape[1]), np.float32)
        for block, rows in _blocks(dataset.astype(np.float32), trials, _BLOCK):
            values[block] = rows
        refuse_non_finite(kind, values, trials, gaps=gaps, hint=DROPPING)
        return values

    def image_blocks(self, trials: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        dataset = self._file["images"]
        # Whole chunks, so that none is unpacked twice.
        chunk = dataset.chunks[0] if dataset.chunks else 1
        most = min(_BLOCK, _PIXELS // int(np.prod(dataset.shape[1:])))
        step = min(chunk * max(1, most // chunk), _LARGEST_BLOCK)
        for block, images in _blocks(dataset, trials, step):
            yield block, images[:, 0]


def _blocks(dataset: h5py.Dataset, trials: np.ndarray, step: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of the ascending `trials` and their rows, of `step` rows of the dataset at a time."""
    for start in range(0, len(dataset), step):
        block = slice(*np.searchsorted(trials, (start, start + step)))
        wanted = trials[block] - start
        if len(wanted):
            rows = dataset[start : start + step]
            yield block, rows if len(wanted) == len(rows) else rows[wanted]


def write_static_hdf5(path: str | Path, scan: Scan) -> None:
    """Write `scan` in the lab's static HDF5 layout; nothing is left at `path` if writing fails.

    Besides what is read, the file has ``types``, ``condition_hashes``, ``trial_idx`` and
    ``statistics/*/{all, stimulus.Frame}/{mean, std, min, max, median}`` as the lab's files do.
    """
    trials = len(scan.image)
    classes, ids = zip(*(key.rsplit("/", 1) for key in scan.key), strict=True)
    hashes = [base64.b64encode(hashlib.sha256(image.tobytes()).digest()[:15]) for image in scan.images]
    trial_column, neuron_column = _StaticHdf5.trial_columns.format, _StaticHdf5.neuron_columns.format
    datasets = {name: getattr(scan, name) for name in _MEASURED} | {
        _StaticHdf5.tiers: _bytes(scan.tier),
        "types": _bytes([_STIMULUS_TYPE] * trials),
        "condition_hashes": np.array(hashes)[scan.image],
        "trial_idx": np.arange(trials, dtype=np.uint32),
        trial_column("frame_image_class"): _bytes(classes)[scan.image],
        trial_column("frame_image_id"): _bytes(ids)[scan.image],
        trial_column("trial_idx"): np.arange(trials, dtype=np.uint32),
        neuron_column("unit_ids"): scan.unit_id,
        neuron_column("area"): _bytes(scan.area),
        neuron_column("layer"): _bytes(scan.layer),
    }
    with new_h5(path) as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
        images = file.create_dataset("images", (trials, 1, *STIMULUS_SHAPE), np.float32)
        for start in range(0, trials, _WRITTEN):
            images[start : start + _WRITTEN, 0] = scan.images[scan.image[start : start + _WRITTEN]]
        for name in _MEASURED:
            _write_statistics(file, name, datasets[name])
        # One number for all pixels, as the lab has it: pixels share their units, neurons do not.
        _write_statistics(file, "images", scan.images[scan.image].reshape(-1, 1))


def _bytes(texts: np.ndarray | list[str] | tuple[str, ...]) -> np.ndarray:
    return np.char.encode(np.asarray(texts, dtype=np.str_), "utf-8")


def _write_statistics(file: h5py.File, name: str, values: np.ndarray) -> None:
    for summary in ("mean", "std", "min", "max", "median"):
        columns = [getattr(np, summary)(values[:, n]) for n in range(values.shape[1])]
        for group in ("all", _STIMULUS_TYPE):
            file.create_dataset(f"statistics/{name}/{group}/{summary}", data=np.array(columns, np.float32))
