"""Stimuli cut from photographs: the ones inside the installed wheels, or a folder of the user's."""

import logging
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np

from neuroreg.errors import InputError
from neuroreg.images.folders import check_name, find_images, read_gray
from neuroreg.scans.scan import STIMULUS_SHAPE
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)
Crop = Literal["centre", "largest"]
# Only photographs that lie in the wheels themselves: scikit-image fetches its others from the network.
_SHIPPED = {
    "skimage.data": (
        "astronaut.png",
        "brick.png",
        "camera.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "moon.png",
        "motorcycle_left.png",
        "rocket.jpg",
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}
_MIN_CROP_HEIGHT = 54.0  # pixels: even the smallest crop is reduced, by 1.5
MIN_CONTRAST = 12.0  # standard deviation of the stimulus, in gray levels of 0..255
_MAX_CORRELATION = 0.95
_REDUCTION = 4  # from the paper's central crop of 144x256 pixels
# Of the shipped photographs every third band of rows is held out for testing: the second, the fifth, ...
# Bands go from edge to edge, so that stimuli of several sizes fit between them.
_BAND, _EVERY = 96, 3
_MAX_FAILURES = 300  # consecutive rejected crops after which a photograph counts as used up


def area_reduce(
    image: np.ndarray, box: tuple[float, float, float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Return the mean of `image` over each cell of a regular grid laid over `box`.

    Parameters
    ----------
    image
        Float array (H, W).
    box
        Top, left, height and width in pixels; fractions of a pixel count by their area.
    shape
        Rows and columns of the result.

    Returns
    -------
    np.ndarray
        float64, of `shape`, in the units of `image`.
    """
    top, left, height, width = box
    rows = _overlap(top, height, shape[0], image.shape[0])
    columns = _overlap(left, width, shape[1], image.shape[1])
    used_rows = slice(int(np.floor(top)), int(np.ceil(top + height)))
    used_columns = slice(int(np.floor(left)), int(np.ceil(left + width)))
    return rows[:, used_rows] @ image[used_rows, used_columns] @ columns[:, used_columns].T


def _overlap(start: float, length: float, cells: int, pixels: int) -> np.ndarray:
    """Return (cells, pixels): the share of each cell that each pixel covers; rows sum to 1."""
    edges = start + length * np.arange(cells + 1) / cells
    pixel = np.arange(pixels)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.clip(covered, 0, None) * (cells / length)


def shipped_photographs() -> dict[str, np.ndarray]:
    """Return the photographs inside the wheels of scikit-image and scikit-learn, by name.

    Each is float (H, W), gray levels 0..255.
    """
    photographs = {}
    for package, names in _SHIPPED.items():
        for name in names:
            with resources.as_file(resources.files(package) / name) as path:
                photographs[path.stem] = read_gray(path)
    return photographs


def held_out_rows(height: int) -> np.ndarray:
    """Return bool (height,): the rows of a shipped photograph that are for testing classifiers alone.

    Every third band of 96 rows, the second one first.
    """
    return np.arange(height) // _BAND % _EVERY == 1


def photograph_stimuli(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return stimuli cropped from the photographs inside the wheels of scikit-image and scikit-learn.

    The photographs take turns. Each turn is a 9:16 crop of random size (log-uniform) and position,
    mirrored or not, reduced by area; one that touches the rows held out is drawn again, size and all, so that
    small crops are more frequent than that. A crop of too little contrast, or that correlates
    above 0.95 with one taken before, is drawn again. A larger `count` with the same seed begins with the same
    stimuli.

    Parameters
    ----------
    count
        How many stimuli.
    seed
        Decides the crops.

    Returns
    -------
    images : np.ndarray
        uint8 (count, 36, 64).
    key : np.ndarray
        str (count,), ``photograph/<name>_<nnnn>``.

    Raises
    ------
    InputError
        If the photographs do not hold that many different crops.
    """
    rng = np.random.default_rng(derive_seed(seed, "photographs"))
    photographs = shipped_photographs()
    images = np.empty((count, *STIMULUS_SHAPE), np.uint8)
    unit = np.empty((count, np.prod(STIMULUS_SHAPE)), np.float32)
    keys, taken = [], dict.fromkeys(photographs, 0)
    while len(keys) < count and photographs:
        for name in list(photographs):
            found = len(keys)
            if found == count:
                break
            new = _new_crop(photographs[name], unit[:found], rng)
            if new is None:
                del photographs[name]
                continue
            images[found], unit[found] = new
            keys.append(f"photograph/{name}_{taken[name]:04d}")
            taken[name] += 1
    if len(keys) < count:
        raise InputError(
            f"source 'photographs': only {len(keys)} different crops found; {count} stimuli were asked for."
        )
    return images, np.array(keys, dtype=np.str_)


def _new_crop(
    photograph: np.ndarray, taken: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a crop unlike those taken and, as `taken` (K, pixels) has them, itself centred at unit length.

    None if the photograph is used up.
    """
    for _ in range(_MAX_FAILURES):
        crop = _random_crop(photograph, rng)
        centred = crop.astype(np.float32).ravel() - crop.mean(dtype=np.float32)
        norm = np.linalg.norm(centred)
        if norm < MIN_CONTRAST * np.sqrt(crop.size):
            continue
        centred /= norm
        if not (taken @ centred > _MAX_CORRELATION).any():
            return crop, centred
    return None


def _random_crop(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows, columns = STIMULUS_SHAPE
    held_out = held_out_rows(len(photograph))
    # As high as what is free between two bands.
    largest = min((_EVERY - 1) * _BAND, photograph.shape[1] * rows / columns)
    while True:
        height = float(np.exp(rng.uniform(np.log(_MIN_CROP_HEIGHT), np.log(largest))))
        top = rng.uniform(0, photograph.shape[0] - height)
        if not held_out[int(top) : int(np.ceil(top + height))].any():
            break
    width = height * columns / rows
    left = rng.uniform(0, photograph.shape[1] - width)
    crop = area_reduce(photograph, (top, left, height, width), STIMULUS_SHAPE)
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    return np.rint(crop).astype(np.uint8)


def folder_stimuli(
    path: str | Path, count: int, seed: int, crop: Crop = "centre"
) -> tuple[np.ndarray, np.ndarray]:
    """Return stimuli from a folder of images: 9:16 crops from their centres, gray, reduced by area.

    Parameters
    ----------
    path
        The folder; the images at any depth are candidates, see `folders.find_images`.
    count
        How many stimuli.
    seed
        Decides which images are taken; they come in the order of their paths. Of images that are cut to the
        same pixels one is taken, and others in the place of the rest.
    crop
        ``"centre"``: the central 144x256 pixels, reduced by 4, as in the paper (Li et al. 2019, main text);
        of a smaller image the largest crop, and how many are smaller is logged. ``"largest"``: the largest
        crop of every image, whatever its size.

    Returns
    -------
    images : np.ndarray
        uint8 (count, 36, 64).
    key : np.ndarray
        str (count,), ``<name of the image's folder>/<file name without extension>``.

    Raises
    ------
    InputError
        If the folder is missing, holds too few different images, an image is unreadable or smaller than
        36x64, a name that keys are made of is not UTF-8, or two images have the same key.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; expected a folder of images.")
    files = find_images(path)
    for folder in sorted({file.parent for file in files}):
        check_name(folder.resolve())
    if len(files) < count:
        raise InputError(f"{path}: {len(files)} images found; {count} stimuli were asked for.")
    rng = np.random.default_rng(derive_seed(seed, "image folder"))
    chosen = np.sort(rng.choice(len(files), count, replace=False))
    spare = rng.permutation(np.setdiff1d(np.arange(len(files)), chosen))
    taken: dict[Path, np.ndarray] = {}
    seen: set[bytes] = set()
    smaller = repeated = 0
    for file in (files[index] for index in (*chosen, *spare)):
        if len(taken) == count:
            break
        gray = read_gray(file)
        box = _central_box(gray.shape) if crop == "centre" else None
        image = np.rint(area_reduce(gray, box or _largest_box(gray.shape, file), STIMULUS_SHAPE))
        image = image.astype(np.uint8)
        if image.tobytes() in seen:
            repeated += 1
            continue
        seen.add(image.tobytes())
        taken[file] = image
        smaller += box is None
    if repeated:
        logger.warning("%s: %d images left out that have the pixels of others", path, repeated)
    if len(taken) < count:
        raise InputError(
            f"{path}: {len(taken)} different images found, {repeated} more with the pixels of others; "
            f"{count} stimuli were asked for."
        )
    by_key: dict[str, Path] = {}
    for file in filter(taken.__contains__, files):
        # Formats of scans fill texts up with blanks, so that those at the ends are not kept.
        key = f"{file.parent.resolve().name.strip()}/{file.stem.strip()}"
        if key in by_key:
            raise InputError(f"{file}: same key '{key}' as {by_key[key]}; expected different names.")
        by_key[key] = file
    if crop == "centre" and smaller:
        height, width = (_REDUCTION * side for side in STIMULUS_SHAPE)
        logger.warning(
            "%s: %d of %d images are smaller than %dx%d; their largest 9:16 crop is taken",
            path, smaller, count, height, width,
        )  # fmt: skip
    return np.stack([taken[file] for file in by_key.values()]), np.array(list(by_key), dtype=np.str_)


def _central_box(shape: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the box of the paper's crop, in whole pixels; None if an image of this shape is smaller."""
    height, width = (_REDUCTION * side for side in STIMULUS_SHAPE)
    if shape[0] < height or shape[1] < width:
        return None
    return (shape[0] - height) // 2, (shape[1] - width) // 2, height, width


def _largest_box(shape: tuple[int, int], file: Path) -> tuple[float, float, float, float]:
    """Return the box of the largest 9:16 crop; `file` names the image if it has none large enough."""
    rows, columns = STIMULUS_SHAPE
    height = min(shape[0], shape[1] * rows / columns)
    if height < rows:
        raise InputError(
            f"{file}: {shape[0]}x{shape[1]} pixels; expected an image of at least {rows}x{columns}."
        )
    width = height * columns / rows
    return (shape[0] - height) / 2, (shape[1] - width) / 2, height, width
