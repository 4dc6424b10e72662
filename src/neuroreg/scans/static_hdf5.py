"""Reader of the lab's static HDF5 layout, ``static{animal}-{session}-{scan}-preproc{k}.h5``."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from neuroreg.errors import InputError
from neuroreg.file_kinds import head, is_hdf5
from neuroreg.scans.images import expect_image_shape
from neuroreg.scans.layout import Layout, read_layout
from neuroreg.scans.scan import Scan, refuse_non_finite
from neuroreg.storage import open_foreign_h5

_EXPECTED = "a scan in the static HDF5 layout"
_BLOCK = 64  # trials read at once: 9.4 MB of the larger images
_LARGEST_BLOCK = 1024


def read_static_hdf5(path: str | Path) -> Scan:
    """Return the scan in a file of the lab's static HDF5 layout.

    The file has the root datasets ``images`` (T, 1, 36, 64) or (T, 1, 144, 256) in 0..255, ``responses``
    (T, N) and ``tiers`` (T,), and the columns ``item_info/*image_id`` and ``item_info/*image_class`` (T,). It
    may have ``behavior`` (T, B), ``pupil_center`` (T, 2) and the columns ``neurons/{unit_ids, area, layer}``
    (N,). Of the larger images blocks of 4 x 4 pixels are averaged; gray levels are rounded to uint8. Other
    datasets are ignored. `layout.read_layout` says what becomes of repeats, other tiers and what is missing.

    Raises
    ------
    InputError
        If the file is missing, truncated or of another layout, if a value is out of place (NaN, gray level
        outside 0..255), or if one key stands for images with different pixels.
    """
    with open_foreign_h5(path, _EXPECTED) as file:
        try:
            return read_layout(_StaticHdf5(file), path)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (OSError, RuntimeError) as error:
            raise InputError(f"{path}: cannot be read to the end; expected {_EXPECTED}.") from error


def recognises_static_hdf5(path: Path) -> bool:
    """Say whether `path` is an HDF5 file."""
    return path.is_file() and is_hdf5(head(path))


class _StaticHdf5(Layout):
    """An opened file of one row per trial."""

    holder = "dataset"
    tiers = "tiers"
    trial_columns = "item_info/*"
    neuron_columns = "neurons/*"

    def __init__(self, file: h5py.File):
        if "kind" in file.attrs:
            raise InputError(f"is a neuroreg file of kind '{file.attrs['kind']}'; expected {_EXPECTED}.")
        self._file = file
        for name in ("images", "responses", "tiers"):
            self._dataset(name)

    def __contains__(self, name: str) -> bool:
        return isinstance(self._file.get(name), h5py.Dataset)

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self:
            raise InputError(f"no dataset '{name}'; expected {_EXPECTED}.")
        return self._file[name]

    def load(self, name: str) -> np.ndarray:
        return np.asarray(self._dataset(name)[()])

    def check(self, trials: int) -> None:
        for kind in ("images", "responses", "behavior", "pupil_center"):
            if not self.has(kind):
                continue
            dataset = self._file[kind]
            if dataset.dtype.kind not in "fiu":
                raise InputError(f"dataset '{kind}' holds {dataset.dtype}; expected numbers.")
            if not dataset.ndim or len(dataset) != trials:
                raise InputError(
                    f"dataset '{kind}' has shape {dataset.shape}; "
                    f"expected one row for each of the {trials} trials of 'tiers'."
                )
        expect_image_shape(self._file["images"].shape[1:], "dataset 'images'")

    def has(self, kind: str) -> bool:
        return kind in self

    def rows(self, kind: str, trials: np.ndarray, length: int | None) -> np.ndarray:
        dataset = self._file[kind]
        if dataset.ndim != 2 or length not in (None, dataset.shape[1]):
            raise InputError(
                f"dataset '{kind}' has shape {dataset.shape}; "
                f"expected ({len(dataset)}, {'any' if length is None else length})."
            )
        values = np.empty((len(trials), dataset.shape[1]), np.float32)
        for start in range(0, len(dataset), _BLOCK):
            kept = np.flatnonzero((trials >= start) & (trials < start + _BLOCK))
            values[kept] = dataset.astype(np.float32)[start : start + _BLOCK][trials[kept] - start]
        refuse_non_finite(kind, values, trials)
        return values

    def image_blocks(self, trials: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        dataset = self._file["images"]
        # Whole chunks, so that none is unpacked twice.
        chunk = dataset.chunks[0] if dataset.chunks else 1
        step = min(chunk * max(1, _BLOCK // chunk), _LARGEST_BLOCK)
        for start in range(0, len(dataset), step):
            shown = trials[(trials >= start) & (trials < start + step)]
            if len(shown):
                block = dataset[start : start + step, 0]
                yield shown, block if len(shown) == len(block) else block[shown - start]
