"""Images of a recording, shown trial by trial, kept once each."""

from collections.abc import Sequence

import numpy as np

from neuroreg.errors import InputError

_ROWS, _COLUMNS = 36, 64


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

    def add(self, index: np.ndarray, pixels: np.ndarray, trials: Sequence[int]) -> None:
        """Take what some trials showed.

        Parameters
        ----------
        index
            int (B,), which of the images each trial showed.
        pixels
            float (B, 36 f, 64 f) with a whole f, gray levels 0 to 255; blocks of f x f pixels are averaged,
            the results rounded.
        trials
            The trials' numbers in the recording, for messages.

        Raises
        ------
        InputError
            If a gray level is out of range or NaN, or an image has other pixels than in an earlier trial.
        """
        if not (pixels.min() >= -0.5 and pixels.max() <= 255.5):  # also refuses NaN
            raise InputError(
                f"images hold values from {pixels.min():g} to {pixels.max():g}; "
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


def _area_means(pixels: np.ndarray) -> np.ndarray:
    factor = pixels.shape[1] // _ROWS
    if factor == 1:
        return pixels
    return pixels.reshape(-1, _ROWS, factor, _COLUMNS, factor).mean(axis=(2, 4))
