"""How often one model classified each noisy test image correctly; free of torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuroreg.errors import InputError
from neuroreg.files.storage import open_h5, write_h5

KIND = "noise counts"


@dataclass(frozen=True)
class NoiseCounts:
    """Correct answers of one model per noise level and image.

    Attributes
    ----------
    sigma
        float64 (L,), standard deviations of the noise, pixels in [0, 1].
    correct
        int (L, N), for how many draws of noise the image was classified correctly, 0 to `draws`.
    draws
        Draws of noise per image, the same for every model.
    """

    sigma: np.ndarray
    correct: np.ndarray
    draws: int

    def accuracy(self) -> pd.DataFrame:
        """Return the columns sigma, accuracy in [0, 1], n (images x draws); one row per level."""
        n = self.correct.shape[1] * self.draws
        accuracy = self.correct.sum(axis=1, dtype=np.int64) / n
        return pd.DataFrame({"sigma": self.sigma, "accuracy": accuracy, "n": n})


def save_noise_counts(path: str | Path, counts: NoiseCounts) -> None:
    """Write `counts` to an HDF5 file of kind ``noise counts``, the counts in the smallest type that fits."""
    correct = counts.correct.astype(np.min_scalar_type(counts.draws))
    write_h5(path, KIND, {"sigma": counts.sigma, "correct": correct, "draws": np.int64(counts.draws)})


def load_noise_counts(path: str | Path) -> NoiseCounts:
    """Return the content of a file that `save_noise_counts` wrote.

    Raises
    ------
    InputError
        If the file is missing, of another kind, or a dataset is absent or of the wrong shape.
    """
    with open_h5(path, KIND) as file:
        for name in ("sigma", "correct", "draws"):
            if name not in file:
                raise InputError(f"{path}: no dataset '{name}'; expected sigma, correct and draws.")
        counts = NoiseCounts(file["sigma"][()], file["correct"][()], int(file["draws"][()]))
    if counts.correct.ndim != 2 or counts.sigma.shape != counts.correct.shape[:1]:
        raise InputError(
            f"{path}: sigma {counts.sigma.shape} and correct {counts.correct.shape}; "
            "expected (L,) and (L, N)."
        )
    return counts
