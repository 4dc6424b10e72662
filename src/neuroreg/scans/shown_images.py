"""The images of scan files, without the responses: enough to compare scans by what they have shown."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np

from neuroreg.files.records import read_fields
from neuroreg.scans.scan import Scan


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
    """Return the images of a scan's file; its responses are not read.

    Raises
    ------
    InputError
        If the file is missing, of another kind, or lacks a dataset.
    """
    read = read_fields(path, Scan, ("images", "key", "image", "tier"))
    shown_in_test = read["image"][read["tier"] == "test"]
    repeated = np.bincount(shown_in_test, minlength=len(read["images"])) > 1
    return ShownImages(scan, read["images"], read["key"], repeated)
