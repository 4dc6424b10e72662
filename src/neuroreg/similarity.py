"""Similarity of images as a population of neurons sees it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError
from neuroreg.seeds import derive_seed
from neuroreg.storage import open_h5, read_strings, write_h5

KIND = "similarity"
CHUNK = 1024  # neurons at a time; bounds the memory of the centred copy


@dataclass(frozen=True)
class SimilarityMatrix:
    """Similarities of Q images, with the keys of the images and where it came from.

    Attributes
    ----------
    matrix
        float32 (Q, Q) in [-1, 1], exactly symmetric, with exact ones on the diagonal.
    key
        str (Q,), "class/id" of each image, without duplicates.
    scans
        Names of the scans it was made from; empty for one that is not neural.

    Raises
    ------
    InputError
        If the values are none of a similarity.
    """

    matrix: np.ndarray
    key: np.ndarray
    scans: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        matrix = self.matrix
        if matrix.dtype != np.float32 or matrix.shape != (len(self.key),) * 2:
            raise InputError(
                f"similarity: found {matrix.dtype} {matrix.shape} for {len(self.key)} keys;"
                " expected a square float32 matrix with one key a row."
            )
        if len(np.unique(self.key)) != len(self.key):
            raise InputError("similarity: the same key twice; expected every image once.")
        if not np.isfinite(matrix).all():
            raise InputError(f"similarity: {np.sum(~np.isfinite(matrix))} values not finite; expected none.")
        if not np.array_equal(matrix, matrix.T):
            raise InputError("similarity: not symmetric; expected matrix[i, j] equal to matrix[j, i].")
        if not np.all(np.diagonal(matrix) == 1) or np.abs(matrix).max(initial=0) > 1:
            raise InputError("similarity: expected ones on the diagonal and values in [-1, 1], found others.")


def save_similarity(
    path: str | Path,
    similarity: SimilarityMatrix,
    *,
    config: Mapping | None = None,
    inputs: Iterable[str | Path] = (),
) -> None:
    """Write a similarity matrix as HDF5; `config` and `inputs` as in `neuroreg.storage.write_h5`."""
    datasets = {
        "matrix": similarity.matrix,
        "key": np.asarray(similarity.key, np.str_),
        "scans": np.asarray(similarity.scans, np.str_),
    }
    write_h5(path, KIND, datasets, config=config, inputs=inputs)


def load_similarity(path: str | Path) -> SimilarityMatrix:
    """Return the similarity matrix stored by `save_similarity`.

    Raises
    ------
    InputError
        If the file is not one, or its values are none of a similarity.
    """
    with open_h5(path, KIND) as file:
        missing = {"matrix", "key", "scans"} - set(file)
        if missing:
            raise InputError(f"{path}: no dataset '{min(missing)}'; expected matrix, key and scans.")
        matrix, key, scans = file["matrix"][()], read_strings(file["key"]), read_strings(file["scans"])
    try:
        return SimilarityMatrix(matrix, key, tuple(scans.tolist()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def denoised_weights(w: np.ndarray, v: np.ndarray, exponent: float = 1.0) -> np.ndarray:
    """Return the weights of denoised responses, ``(w v)^exponent`` (Li et al. 2019, main text).

    Parameters
    ----------
    w, v
        float (N,), reliability and prediction correlation, at least 0.
    exponent
        1 in the main text; a larger one weights reliable neurons even more, as the supplement does without a
        formula.

    Returns
    -------
    numpy.ndarray
        float64 (N,).

    Raises
    ------
    InputError
        If w or v is negative or not finite, the shapes differ, or `exponent` is not positive.
    """
    w, v = np.asarray(w, np.float64), np.asarray(v, np.float64)
    if w.shape != v.shape or w.ndim != 1:
        raise InputError(
            f"weights: found w of shape {w.shape} and v of shape {v.shape}; expected equal ones."
        )
    for name, values in (("w", w), ("v", v)):
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise InputError(f"{name}: negative or not finite values; expected weights of at least 0.")
    if not exponent > 0:
        raise InputError(f"exponent: found {exponent}; expected a positive number.")
    return (w * v) ** exponent


def centred_cosine(responses: np.ndarray, weights: np.ndarray, key: np.ndarray | None = None) -> np.ndarray:
    """Return the cosine similarity of weighted, centred population vectors (Li et al. 2019, main text).

    Each neuron is scaled by its weight and its mean over images is subtracted; images are normalised to unit
    length; their dot products are returned.

    Parameters
    ----------
    responses
        float (P, N), one row an image.
    weights
        float (N,).
    key
        str (P,), names the images in messages; their numbers if not given.

    Returns
    -------
    numpy.ndarray
        float32 (P, P), exactly symmetric, ones on the diagonal, in [-1, 1].

    Raises
    ------
    InputError
        If the sizes differ, a value is not finite, all weights are 0, or an image's centred vector is zero.
    """
    weights = np.asarray(weights, np.float64)
    if responses.ndim != 2 or weights.shape != responses.shape[1:]:
        raise InputError(
            f"responses: found shape {responses.shape} with weights of shape {weights.shape};"
            " expected (images, neurons) and (neurons,)."
        )
    if not (np.isfinite(weights).all() and np.isfinite(responses).all()):
        raise InputError("responses: values or weights that are not finite; expected finite ones.")
    if not weights.any():
        raise InputError("weights: all 0; expected at least one neuron with a positive weight.")
    weights = weights / np.abs(weights).max()
    gram = np.zeros((len(responses),) * 2)
    for start in range(0, len(weights), CHUNK):
        block = responses[:, start : start + CHUNK] * weights[start : start + CHUNK]
        block -= block.mean(0)
        gram += block @ block.T
    length = np.sqrt(np.diagonal(gram))
    # Centring leaves roundings of about 1e-16 where the exact result is zero.
    zero = np.flatnonzero(length <= 1e-12 * length.max())
    if len(zero):
        name = zero[0] if key is None else key[zero[0]]
        raise InputError(
            f"responses: image '{name}' has a zero vector after centring; expected responses that differ from"
            " the mean over images."
        )
    gram /= length
    gram /= length[:, None]
    cosine = np.clip((gram + gram.T) / 2, -1, 1).astype(np.float32)
    np.fill_diagonal(cosine, 1)
    return cosine


def mean_similarity(similarities: Iterable[SimilarityMatrix]) -> SimilarityMatrix:
    """Return the mean over scans; holds one matrix and the running sum, however many there are.

    Parameters
    ----------
    similarities
        At least one; all with the same keys in the same order.

    Raises
    ------
    InputError
        If there is none, or the keys differ.
    """
    total, key, scans, count = None, None, [], 0
    for similarity in similarities:
        if total is None:
            total, key = similarity.matrix.astype(np.float64), similarity.key
        elif np.array_equal(key, similarity.key):
            total += similarity.matrix
        else:
            name = ", ".join(similarity.scans) or f"number {count + 1}"
            raise InputError(f"similarity of {name}: other image keys than before; expected the same.")
        scans += similarity.scans
        count += 1
    if total is None:
        raise InputError("similarities: none to average; expected at least one.")
    return SimilarityMatrix((total / count).astype(np.float32), key, tuple(scans))


def shuffled(similarity: SimilarityMatrix, seed: int) -> SimilarityMatrix:
    """Return the matrix with the images' identities shuffled: the paper's control "Shuffle".

    Rows and columns are permuted together, so that all values and the spectrum stay and only what belongs to
    which image is lost.

    Raises
    ------
    InputError
        If there are fewer than two images to shuffle.
    """
    images = len(similarity.key)
    if images < 2:
        raise InputError(f"similarity: {images} images; expected at least 2 to shuffle.")
    generator = np.random.default_rng(derive_seed(seed, "shuffled similarity"))
    order = np.arange(images)
    while np.array_equal(order, np.arange(images)):
        order = generator.permutation(images)
    return SimilarityMatrix(similarity.matrix[np.ix_(order, order)], similarity.key, similarity.scans)


def upper_triangle(matrix: np.ndarray) -> np.ndarray:
    """Return the values above the diagonal of a (Q, Q) matrix, row by row, (Q (Q - 1) / 2,)."""
    return matrix[~np.tri(len(matrix), dtype=bool)]


def similarity_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of the upper triangles of two (Q, Q) matrices.

    Raises
    ------
    InputError
        If the sizes differ, there are fewer than three images, or one triangle is constant.
    """
    if a.shape != b.shape or len(a) < 3:
        raise InputError(f"similarity: shapes {a.shape} and {b.shape}; expected the same, at least (3, 3).")
    x, y = upper_triangle(a).astype(np.float64), upper_triangle(b).astype(np.float64)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise InputError("similarity: all pairs have the same value; expected values that can be correlated.")
    return float(np.corrcoef(x, y)[0, 1])
