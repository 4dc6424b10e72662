"""Predicted responses of one scan's neurons, with what weights them in the similarity."""

from dataclasses import dataclass

import numpy as np

from neuroreg.files.records import dataset
from neuroreg.similarity.matrix import SimilarityMatrix, centred_cosine, denoised_weights


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
    w, v
        float32 (N,): reliability from the oracle repeats, correlation on held-out trials.
    """

    KIND = "responses"

    key: np.ndarray = dataset("key", np.str_, "Q")
    predicted: np.ndarray = dataset("predicted", np.float32, "Q", "N")
    oracle_key: np.ndarray = dataset("oracle/key", np.str_, "O")
    oracle_predicted: np.ndarray = dataset("oracle/predicted", np.float32, "O", "N")
    w: np.ndarray = dataset("neurons/w", np.float32, "N")
    v: np.ndarray = dataset("neurons/v", np.float32, "N")


def denoised_similarity(scan: str, responses: PredictedResponses, exponent: float) -> SimilarityMatrix:
    """Return the similarity of the pool from one scan's predicted responses (Li et al. 2019, main text).

    Parameters
    ----------
    scan
        The scan's name, kept with the matrix.
    responses
        What the scan's predictive model answers.
    exponent
        Neurons are weighted by (w v)^exponent.
    """
    weights = denoised_weights(responses.w, responses.v, exponent)
    matrix = centred_cosine(responses.predicted, weights, responses.key)
    return SimilarityMatrix(matrix, responses.key, (scan,))
