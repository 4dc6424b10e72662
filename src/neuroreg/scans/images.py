"""Images of a recording, shown trial by trial, kept once each."""

from collections.abc import Sequence

import numpy as np

from neuroreg.errors import InputError

_ROWS, _COLUMNS = 36, 64
_FACTORS = (1, 4)  # how many times larger than 36x64 the sources' images are


def expect_image_shape(shape: tuple[int, ...], name: str) -> None:
    """Check the shape of one image.

    Parameters
    ----------
    shape
        Channels, height, width.
    name
        What holds the image, for the message.

    Raises
    ------
    InputError
        Unless it is (1, 36, 64) or (1, 144, 256); an image with color channels is called that.
    """
    expected = [(_ROWS * factor, _COLUMNS * factor) for factor in _FACTORS]
    if len(shape) == 3 and shape[0] > 1 and shape[1:] in expected:
        raise InputError(
            f"{name} has {shape[0]} channels, so the scan was made with colored images (as in Franke 2022); "
            f"expected 1 channel of gray levels."
        )
    if shape not in [(1, *size) for size in expected]:
        raise InputError(f"{name}: an image has shape {shape}; expected (1, 36, 64) or (1, 144, 256).")


class DistinctImages:
    """Keeps the first showing of each image and checks that later ones have the same pixels.

    Parameters
    ----------
    key
        str (I,), the images' keys, for messages.
    """

    def __init__(self, key: np.ndarray):
        self._key = key
        self._images = np.empty((len(key), _ROWS, _COLUMNS), np.uint8)
        self._seen = np.zeros(len(key), np.bool_)
        self._brightest = 0.0

    def add(self, index: Sequence[int], pixels: np.ndarray, trials: Sequence[int]) -> None:
        """Take what some trials showed.

        Parameters
        ----------
        index
            Which of the images each trial showed, B of them.
        pixels
            Numbers (B, 36 f, 64 f) with a whole f, gray levels 0 to 255; blocks of f x f pixels are averaged,
            the results rounded.
        trials
            The trials' numbers in the recording, for messages.

        Raises
        ------
        InputError
            If a gray level is out of range or NaN, or an image has other pixels than in an earlier trial.
        """
        if not _are_gray_levels(pixels):
            image, trial = next(
                (image, t) for image, t in zip(pixels, trials, strict=True) if not _are_gray_levels(image)
            )
            raise InputError(
                f"the image of trial {trial} holds values from {image.min():g} to {image.max():g}; "
                f"expected gray levels 0 to 255."
            )
        self._brightest = max(self._brightest, float(pixels.max()))
        levels = np.clip(np.rint(_area_means(pixels)), 0, 255).astype(np.uint8)
        for i, image, trial in zip(index, levels, trials, strict=True):
            if not self._seen[i]:
                self._images[i], self._seen[i] = image, True
            elif not np.array_equal(self._images[i], image):
                raise InputError(
                    f"key '{self._key[i]}' has other pixels in trial {trial} than before; "
                    f"expected one image per key."
                )

    def collected(self) -> np.ndarray:
        """Return the images, uint8 (I, 36, 64), after each of them was shown.

        Raises
        ------
        InputError
            If no pixel was above 1: the recording has its gray levels on another scale.
        """
        if self._brightest <= 1:
            raise InputError(f"images reach {self._brightest:g} at most; expected gray levels 0 to 255.")
        return self._images


def _are_gray_levels(pixels: np.ndarray) -> bool:
    return bool(pixels.min() >= -0.5 and pixels.max() <= 255.5)  # False for NaN


def _area_means(pixels: np.ndarray) -> np.ndarray:
    """Return the means of blocks of pixels, float32 (B, 36, 64)."""
    factor = pixels.shape[1] // _ROWS
    pixels = pixels.astype(np.float32, copy=False)
    # A sum of slices takes a tenth of the time of a mean over two axes.
    wide = sum(pixels[:, row::factor] for row in range(factor))
    return sum(wide[..., column::factor] for column in range(factor)) / np.float32(factor**2)
