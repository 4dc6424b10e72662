"""Predicted responses of one scan's neurons, with what weights them in the similarity."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.files.storage import open_h5, read_strings, write_h5
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

    key: np.ndarray
    predicted: np.ndarray
    oracle_key: np.ndarray
    oracle_predicted: np.ndarray
    w: np.ndarray
    v: np.ndarray


def save_responses(
    path: str | Path,
    responses: PredictedResponses,
    *,
    config: Mapping | None = None,
    inputs: Iterable[str | Path] = (),
) -> None:
    """Write a file of kind ``responses``, atomically."""
    datasets = {
        "key": responses.key,
        "predicted": responses.predicted,
        "oracle/key": responses.oracle_key,
        "oracle/predicted": responses.oracle_predicted,
        "neurons/w": responses.w,
        "neurons/v": responses.v,
    }
    write_h5(path, "responses", datasets, config=config, inputs=inputs)


def load_responses(path: str | Path) -> PredictedResponses:
    """Read what `save_responses` wrote.

    Raises
    ------
    InputError
        If the file is missing, unreadable or of another kind.
    """
    with open_h5(path, "responses") as file:
        return PredictedResponses(
            read_strings(file["key"]),
            file["predicted"][()],
            read_strings(file["oracle/key"]),
            file["oracle/predicted"][()],
            file["neurons/w"][()],
            file["neurons/v"][()],
        )


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
