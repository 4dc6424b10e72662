"""The common set of stimuli: the pool whose similarities are the target, and the oracle images beside it."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.records import check_record, dataset
from neuroreg.images.photographs import Crop, folder_stimuli, photograph_stimuli
from neuroreg.scans.scan import STIMULUS_SHAPE
from neuroreg.scans.shown_images import ShownImages
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Stimuli:
    """Images with their names.

    Parameters
    ----------
    images
        uint8 (P, 36, 64), gray levels 0..255.
    key
        str (P,), ``class/id``, all different.
    oracle
        bool (P,): True for the images shown repeatedly, which measure reliability; the others are the
        similarity pool.

    Raises
    ------
    InputError
        If the arrays do not fit this description.
    """

    KIND = "stimuli"

    images: np.ndarray = dataset("images", np.uint8, "P", *STIMULUS_SHAPE)
    key: np.ndarray = dataset("key", np.str_, "P")
    oracle: np.ndarray = dataset("oracle", np.bool_, "P")

    def __post_init__(self):
        check_record(self)
        names, times = np.unique(self.key, return_counts=True)
        if (times > 1).any():
            raise InputError(f"stimuli: key '{names[times > 1][0]}' found twice; expected different keys.")


def make_stimuli(
    source: str,
    pool_size: int,
    oracle_size: int,
    path: str | Path | None = None,
    seed: int = 0,
    crop: Crop = "centre",
) -> Stimuli:
    """Return stimuli from a source of images; which of them are the oracle images is drawn by `seed`.

    Parameters
    ----------
    source
        ``"photographs"`` (inside the installed packages) or ``"image_folder"``. For images
        that scans have shown see `stimuli_from_scans`.
    pool_size, oracle_size
        How many images of each kind; the paper has 5,000 and 100.
    path
        The folder, for ``"image_folder"`` only.
    seed
        Decides everything drawn.
    crop
        What is cut from an image of the folder, see `photographs.folder_stimuli`.

    Raises
    ------
    InputError
        If the source is unknown or does not hold enough images.
    """
    count = pool_size + oracle_size
    if source == "photographs":
        images, key = photograph_stimuli(count, seed)
    elif source == "image_folder":
        if path is None:
            raise InputError("stimuli: source 'image_folder' without a path; expected the folder of images.")
        images, key = folder_stimuli(path, count, seed, crop)
    else:
        raise InputError(f"stimuli: source '{source}'; expected 'photographs' or 'image_folder'.")
    oracle = np.zeros(count, dtype=np.bool_)
    rng = np.random.default_rng(derive_seed(seed, "oracle images"))
    oracle[rng.choice(count, oracle_size, replace=False)] = True
    return Stimuli(images, key, oracle)


def stimuli_from_scans(
    scans: Sequence[ShownImages],
    pool_size: int | None,
    seed: int,
    *,
    shared: bool = False,
    others: Sequence[ShownImages] = (),
) -> Stimuli:
    """Return the images that scans have shown as stimuli.

    Oracle images are those repeated in the test tier of any scan; all others are the pool. Images with equal
    pixels are one image, under the first of their keys, in the order of first appearance.

    Parameters
    ----------
    scans
        The images of one scan or more.
    pool_size
        How many images of the pool, drawn by `seed`; None takes all.
    seed
        Decides the sample.
    shared
        Whether to take only images whose key every scan has (their intersection) instead of those of any scan
        (their union).
    others
        Scans whose images are not taken. What they repeat, by its pixels, is an oracle image as well.

    Raises
    ------
    InputError
        If two scans have different pixels under one key, or the pool is smaller than `pool_size` or than 2.
    """
    pixels_of, image_of, repeated = _collect(scans)
    repeated = repeated.union(*map(_repeated_pixels, others))
    times = Counter(key for scan in scans for key in scan.key.tolist())
    wanted = len(scans) if shared else 1
    candidates = [(key, pixels) for key, pixels in pixels_of.items() if times[key] >= wanted]
    key_of: dict[bytes, str] = {}
    for key, pixels in candidates:
        key_of.setdefault(pixels, key)
    logger.info("%d images, %d more left out for equal pixels", len(key_of), len(candidates) - len(key_of))
    oracle = np.array([pixels in repeated for pixels in key_of], dtype=np.bool_)
    pool = np.flatnonzero(~oracle)
    if len(pool) < (pool_size or 2):
        where = f"scan '{scans[0].scan}'" if len(scans) == 1 else f"{'every' if shared else 'any'} scan"
        raise InputError(
            f"stimuli: {len(pool)} images in {where}, repeated ones left out; "
            f"expected at least {pool_size or 2}{' (pool_size)' if pool_size else ''}."
        )
    if pool_size is not None:
        rng = np.random.default_rng(derive_seed(seed, "pool"))
        pool = rng.choice(pool, pool_size, replace=False)
    chosen = np.sort(np.concatenate([np.flatnonzero(oracle), pool]))
    images, keys = [image_of[pixels] for pixels in key_of], np.array(list(key_of.values()), dtype=np.str_)
    return Stimuli(np.stack([images[index] for index in chosen]), keys[chosen], oracle[chosen])


def _collect(scans: Sequence[ShownImages]) -> tuple[dict[str, bytes], dict[bytes, np.ndarray], set[bytes]]:
    """Return each key's digest of pixels, each digest's image, and the digests that any scan repeats."""
    pixels_of: dict[str, bytes] = {}
    image_of: dict[bytes, np.ndarray] = {}
    repeated: set[bytes] = set()
    for scan in scans:
        for image, key, pixels in zip(scan.images, scan.key.tolist(), scan.pixels, strict=True):
            if pixels_of.setdefault(key, pixels) != pixels:
                raise InputError(
                    f"stimuli: scan '{scan.scan}' has other pixels under the key '{key}' than a scan before "
                    "it; expected the same image under the same key."
                )
            image_of.setdefault(pixels, image)
        repeated |= _repeated_pixels(scan)
    return pixels_of, image_of, repeated


def _repeated_pixels(scan: ShownImages) -> set[bytes]:
    return {scan.pixels[index] for index in np.flatnonzero(scan.repeated)}
