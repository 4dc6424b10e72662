"""Which images scans share, and where their names and their pixels disagree."""

import logging
from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from neuroreg.scans.shown_images import ShownImages

logger = logging.getLogger(__name__)
COLUMNS = ("scan", "other", "images", "other_images", "shared_keys", "shared_pixels", "conflicts")


def image_overlap(scans: Sequence[ShownImages]) -> pd.DataFrame:
    """Return how many images each pair of scans shares; each pair, and the first conflict, is logged.

    Parameters
    ----------
    scans
        The images of each scan.

    Returns
    -------
    pandas.DataFrame
        One row a pair: `COLUMNS`. ``images`` and ``other_images`` count each scan's images; ``shared_keys``
        those of the first scan whose key the other has, ``shared_pixels`` those whose pixels the other has
        under any key, and ``conflicts`` those where the two disagree: the key is there with other pixels
        only, or the pixels are there under other keys only.
    """
    rows = []
    for one, other in combinations(scans, 2):
        pixels_of = dict(zip(other.key.tolist(), other.pixels, strict=True))
        pixels = set(other.pixels)
        same_key = [key in pixels_of for key in one.key.tolist()]
        same_pixels = [image in pixels for image in one.pixels]
        conflicts = [
            key
            for key, image, by_key, by_pixels in zip(
                one.key.tolist(), one.pixels, same_key, same_pixels, strict=True
            )
            if (by_key or by_pixels) and pixels_of.get(key) != image
        ]
        counts = (len(one.key), len(other.key), sum(same_key), sum(same_pixels), len(conflicts))
        rows.append((one.scan, other.scan, *counts))
        logger.info(
            "%s and %s: %d and %d images, %d keys shared, %d images shared by their pixels, %d conflicts%s",
            *rows[-1],
            f" (the first: '{conflicts[0]}')" if conflicts else "",
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))
