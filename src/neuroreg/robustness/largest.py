"""The largest distance that any image of pixels in [0, 1] can have from a given one; free of torch."""

import numpy as np


def largest_distances(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the distance of each image from the farthest one: each pixel goes to its farther end of [0, 1].

    What no attack has found lies at most so far away.

    Parameters
    ----------
    images
        uint8 (S, H, W); 255 is 1.

    Returns
    -------
    dict
        Norm (l0, l1, l2, linf) to float64 (S,); L0 is the number of pixels.
    """
    pixels = images.reshape(len(images), -1) / 255
    farthest = np.maximum(pixels, 1 - pixels)
    return {
        "l0": np.full(len(images), float(pixels.shape[1])),
        "l1": farthest.sum(axis=1),
        "l2": np.sqrt((farthest**2).sum(axis=1)),
        "linf": farthest.max(axis=1, initial=0.0),
    }
