"""How often one model classified each noisy test image correctly; free of torch and pandas."""

from dataclasses import dataclass

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.records import dataset


@dataclass(frozen=True)
class NoiseCounts:
    """Correct answers of one model per noise level and image.

    Attributes
    ----------
    sigma
        float64 (L,), standard deviations of the noise, pixels in [0, 1].
    correct
        Any integers (L, N), for how many draws of noise the image was classified correctly, 0 to `draws`.
    draws
        Draws of noise per image, the same for every model.
    """

    KIND = "noise counts"

    sigma: np.ndarray = dataset("sigma", np.float64, "L")
    correct: np.ndarray = dataset("correct", np.integer, "L", "N")
    draws: int = dataset("draws", np.int64)

    def __post_init__(self) -> None:
        if self.draws < 1 or not np.isfinite(self.sigma).all() or (self.sigma < 0).any():
            raise InputError(
                f"noise counts: {self.draws} draws at sigma {self.sigma.tolist()}; expected one draw or "
                "more, at numbers of at least 0."
            )
        if not self.correct.size:
            raise InputError("noise counts: of no image; expected one or more.")
        least, most = int(self.correct.min()), int(self.correct.max())
        if least < 0 or most > self.draws:
            raise InputError(
                f"noise counts: from {least} to {most}; expected 0 to {self.draws}, the number of draws."
            )

    def accuracy(self) -> dict[str, np.ndarray]:
        """Return the columns sigma, accuracy in [0, 1], n (images x draws), each (L,)."""
        n = np.full(len(self.sigma), self.correct.shape[1] * self.draws)
        return {"sigma": self.sigma, "accuracy": self.correct.sum(axis=1, dtype=np.int64) / n, "n": n}
