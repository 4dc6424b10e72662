"""Predicted responses of one scan's neurons, with what weights them in the similarity."""

from dataclasses import dataclass

import numpy as np

from neuroreg.errors import InputError, naming
from neuroreg.files.records import check_record, dataset
from neuroreg.similarity.matrix import SimilarityMatrix, centred_cosine, denoised_weights
from neuroreg.similarity.units import Units, effective_neurons, warn_of_few


@dataclass(frozen=True, eq=False)
class PredictedResponses:
    """What the predictive model of a scan answers.

    Attributes
    ----------
    key
        str (Q,), the images of the common pool.
    predicted
        float32 (Q, N), responses to them.
    oracle_key
        str (O,), the scan's own repeated images.
    oracle_predicted
        float32 (O, N), responses to them.
    w
        float32 (N,): reliability, from the oracle repeats.
    v
        float32 (N,): correlation of prediction and response on held-out trials.
    std
        float32 (N,), positive: standard deviation of the measured responses, see
        `neuroreg.scans.reliability.response_deviation`.
    """

    KIND = "responses"

    key: np.ndarray = dataset("key", np.str_, "Q")
    predicted: np.ndarray = dataset("predicted", np.float32, "Q", "N")
    oracle_key: np.ndarray = dataset("oracle/key", np.str_, "O")
    oracle_predicted: np.ndarray = dataset("oracle/predicted", np.float32, "O", "N")
    w: np.ndarray = dataset("neurons/w", np.float32, "N")
    v: np.ndarray = dataset("neurons/v", np.float32, "N")
    std: np.ndarray = dataset("neurons/std", np.float32, "N")

    def __post_init__(self) -> None:
        check_record(self)
        for name in ("predicted", "oracle_predicted", "w", "v", "std"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"responses: {name} holds NaN or infinity; expected finite values.")
        if (self.std <= 0).any():
            raise InputError(f"responses: std of {self.std.min():g}; expected positive ones.")

    def weights(self, exponent: float, units: Units) -> np.ndarray:
        """Return the weights of the neurons, float64 (N,): ``(w v)^exponent``, by `std` in units ``std``."""
        return denoised_weights(self.w, self.v, exponent, self.std if units == "std" else 1.0)


def denoised_similarity(
    scan: str, responses: PredictedResponses, exponent: float, units: Units = "std"
) -> SimilarityMatrix:
    """Return the similarity of the pool from one scan's predicted responses (Li et al. 2019, main text).

    A warning is logged if few of the neurons carry it, see `neuroreg.similarity.units.warn_of_few`.

    Parameters
    ----------
    scan
        The scan's name, kept with the matrix.
    responses
        What the scan's predictive model answers.
    exponent
        Neurons are weighted by (w v)^exponent.
    units
        Of the responses that are weighted, see `neuroreg.similarity.units.response_units`.

    Raises
    ------
    InputError
        With the scan's name, if all weights are 0 or an image's predicted responses are the mean over images.
    """
    with naming(f"scan '{scan}'"):
        weights = responses.weights(exponent, units)
        warn_of_few(scan, effective_neurons(responses.predicted, weights), len(weights), units)
        matrix = centred_cosine(responses.predicted, weights, responses.key)
    return SimilarityMatrix(matrix, responses.key, (scan,))
