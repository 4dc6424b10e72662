"""The images of scan files, without the responses: enough to compare scans by what they have shown."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.storage import open_h5, read_strings

_DATASETS = ("images", "key", "trials/image", "trials/tier")


@dataclass(frozen=True, eq=False)
class ShownImages:
    """What a scan has shown.

    Attributes
    ----------
    scan
        The scan's name.
    images
        uint8 (I, 36, 64).
    key
        str (I,), all different.
    repeated
        bool (I,): shown more than once in the test tier, whether or not its responses are withheld.
    """

    scan: str
    images: np.ndarray
    key: np.ndarray
    repeated: np.ndarray

    @cached_property
    def pixels(self) -> tuple[bytes, ...]:
        """A digest of each image's pixels, equal for equal images."""
        return tuple(blake2b(image.tobytes(), digest_size=16).digest() for image in self.images)


def load_shown_images(scan: str, path: str | Path) -> ShownImages:
    """Return the images of a file written by `neuroreg.scans.scan.save_scan`; its responses are not read.

    Raises
    ------
    InputError
        If the file is missing, of another kind, or lacks a dataset.
    """
    with open_h5(path, "scan") as file:
        missing = [dataset for dataset in _DATASETS if dataset not in file]
        if missing:
            raise InputError(f"{path}: no dataset '{missing[0]}'; expected {', '.join(_DATASETS)}.")
        images, key = file["images"][()], read_strings(file["key"])
        shown_in_test = file["trials/image"][()][read_strings(file["trials/tier"]) == "test"]
    return ShownImages(scan, images, key, np.bincount(shown_in_test, minlength=len(images)) > 1)
