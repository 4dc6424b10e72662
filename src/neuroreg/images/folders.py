"""Folders of image files: which files count as images, in what order they come, how they are decoded."""

from pathlib import Path

import numpy as np
from PIL import Image

from neuroreg.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png")


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files in a folder at any depth, sorted by their paths below it.

    A file counts by its extension, in small or capital letters; anything else, and a folder named like an
    image, is ignored.
    """
    folder = Path(folder)
    files = [file for file in folder.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file()]
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def open_image(path: str | Path) -> Image.Image:
    """Return a fully decoded 8-bit image.

    Raises
    ------
    InputError
        If the file cannot be decoded or is not an 8-bit image.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image; expected a JPEG or PNG file.") from error
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: pixels of mode {image.mode}; expected an 8-bit gray or colour image.")
    return image


def read_gray(path: str | Path) -> np.ndarray:
    """Return an image file as gray float64 (H, W) in 0..255, unrounded ITU-R 601 luma.

    Raises
    ------
    InputError
        If the file cannot be decoded or is not an 8-bit image.
    """
    image = open_image(path)
    if image.mode == "L":
        return np.asarray(image, dtype=np.float64)
    return np.asarray(image.convert("RGB"), dtype=np.float64) @ np.array([0.299, 0.587, 0.114])
