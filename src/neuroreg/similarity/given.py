"""A similarity of the stimuli that a user has computed."""

from dataclasses import replace
from pathlib import Path

from neuroreg.errors import InputError
from neuroreg.files.records import read_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.matrix import FEWEST_IMAGES, SimilarityMatrix


def given_similarity(path: str | Path, stimuli: Stimuli) -> SimilarityMatrix:
    """Return the similarity in a file, after checking that it is one of images of the pool.

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
    provenance = {"kind": "given", "file": Path(path).name, "of": dict(similarity.provenance)}
    return replace(similarity, provenance=provenance)
