"""A similarity of the stimuli that a user has computed."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.records import read_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.matrix import FEWEST_IMAGES, SimilarityMatrix

logger = logging.getLogger(__name__)
FAR = 0.999  # whose arctanh is 3.8; that of 1 counts as 6.1
SAME = 1e-6


def given_similarity(path: str | Path, stimuli: Stimuli) -> SimilarityMatrix:
    """Return the similarity in a file, after checking that it is one of images of the pool.

    The log warns if all pairs are as similar, or some so much that the loss, which compares arctanh, is ruled
    by them.

    Parameters
    ----------
    path
        A file of a `SimilarityMatrix`, of all of the pool's images or some, in any order.
    stimuli
        The pool, and the oracle images, which are no part of it.

    Returns
    -------
    SimilarityMatrix
        As it was; its provenance has kind ``given``, the file's name and, as ``of``, what the file said.

    Raises
    ------
    InputError
        If the file is missing or holds no similarity, a key is not one of the pool's, or there are fewer than
        `FEWEST_IMAGES`.
    """
    similarity = read_record(path, SimilarityMatrix)
    pool = set(stimuli.key[~stimuli.oracle].tolist())
    others = [key for key in similarity.key.tolist() if key not in pool]
    if others:
        raise InputError(
            f"{path}: {len(others)} of {len(similarity.key)} keys are not in the pool, the first is "
            f"'{others[0]}'; expected keys of results/stimuli.h5 whose 'oracle' is false."
        )
    if len(similarity.key) < FEWEST_IMAGES:
        raise InputError(f"{path}: {len(similarity.key)} images; expected at least {FEWEST_IMAGES}.")
    _look_at(path, similarity.matrix)
    provenance = {"kind": "given", "file": Path(path).name, "of": dict(similarity.provenance)}
    return replace(similarity, provenance=provenance)


def _look_at(path: str | Path, matrix: np.ndarray) -> None:
    """Warn of pairs from which a network can learn nothing; `matrix` is (P, P), row by row for its size."""
    rows = [row[:number] for number, row in enumerate(matrix) if number]
    far = sum(int(np.count_nonzero(np.abs(row) > FAR)) for row in rows)
    pairs = len(matrix) * (len(matrix) - 1) // 2
    if far:
        logger.warning(
            "%s: %d of %d pairs have a similarity beyond %g or -%g, whose arctanh, which the loss compares, "
            "is 3.8 to 6.1 and hard to meet; expected smaller ones, as half of these",
            *(path, far, pairs, FAR, FAR),
        )
    if max(row.max() for row in rows) - min(row.min() for row in rows) < SAME:
        logger.warning("%s: all %d pairs are equally similar; expected some that differ", path, pairs)
