"""Similarity of images as a population of neurons sees it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuroreg.errors import InputError
from neuroreg.files.records import config_field, dataset
from neuroreg.seeds import derive_seed

FEWEST_IMAGES = 3  # two have one similarity, which correlates with nothing
CHUNK = 512  # neurons at a time; bounds the memory of the centred copy


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
        Names of the scans it was made from; empty for one that is not neural or of a scan without a name.
    provenance
        What else made it, in types of JSON: ``kind`` and what that kind depends on, see docs/similarity.md.
    permutation
        Of a shuffled similarity, int64 (Q,): ``matrix[i, j]`` was that of images ``permutation[i]`` and
        ``permutation[j]``. None for any other.

    Raises
    ------
    InputError
        If the values are none of a similarity.
    """

    KIND = "similarity"

    matrix: np.ndarray = dataset("matrix", np.float32, "Q", "Q")
    key: np.ndarray = dataset("key", np.str_, "Q")
    scans: tuple[str, ...] = dataset(
        "scans", np.str_, "S", unpack=lambda names: tuple(names.tolist()), default=()
    )
    provenance: Mapping[str, object] = config_field()
    permutation: np.ndarray | None = dataset("permutation", np.int64, "Q", optional=True, default=None)

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
        if not np.all(np.diagonal(matrix) == 1) or matrix.max(initial=0) > 1 or matrix.min(initial=0) < -1:
            raise InputError("similarity: expected ones on the diagonal and values in [-1, 1], found others.")
        order = self.permutation
        if order is not None and not np.array_equal(np.sort(order), np.arange(len(matrix))):
            raise InputError(f"similarity: permutation expected of all {len(matrix)} images, found another.")


def denoised_weights(
    w: np.ndarray, v: np.ndarray, exponent: float = 1.0, unit: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return the weights of denoised responses, ``(w v)^exponent / unit`` (Li et al. 2019, main text).

    Parameters
    ----------
    w, v
        float (N,), reliability and prediction correlation, at least 0. Measured responses are weighted by w
        alone: their v is 1.
    exponent
        1 in the main text; a larger one weights reliable neurons even more, as the supplement does without a
        formula.
    unit
        float (N,), positive: what each neuron's responses are divided by first, see
        `neuroreg.similarity.units.response_units`; 1 leaves them as they are.

    Returns
    -------
    numpy.ndarray
        float64 (N,).

    Raises
    ------
    InputError
        If w or v is negative or not finite, the shapes differ, or `exponent` or a unit is not positive.
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
    unit = np.asarray(unit, np.float64)
    if unit.shape not in ((), w.shape) or not (np.isfinite(unit).all() and (unit > 0).all()):
        raise InputError(
            f"unit: found shape {unit.shape} with values from {unit.min():g} to {unit.max():g}; "
            f"expected {w.shape} positive numbers."
        )
    return (w * v) ** exponent / unit


def centred_cosine(
    responses: np.ndarray, weights: np.ndarray | None = None, key: np.ndarray | None = None
) -> np.ndarray:
    """Return the cosine similarity of weighted, centred population vectors (Li et al. 2019, main text).

    Each neuron is scaled by its weight and its mean over images is subtracted; images are normalised to unit
    length; their dot products are returned. Scaling, centring and lengths are float64, the products of unit
    vectors float32: no similarity is off by more than 1e-6. Beside `responses` it holds the result and
    12 bytes per image and neuron of `CHUNK` neurons.

    Parameters
    ----------
    responses
        float (P, N), one row an image.
    weights
        float (N,); 1 for every neuron if not given.
    key
        str (P,), names the images in messages; their numbers if not given.

    Returns
    -------
    numpy.ndarray
        float32 (P, P), exactly symmetric, ones on the diagonal, in [-1, 1].

    Raises
    ------
    InputError
        If the sizes differ, there is no image, a value is not finite, all weights are 0, or an image's
        centred vector is zero.
    """
    weights = np.asarray(np.ones(responses.shape[1:]) if weights is None else weights, np.float64)
    if responses.ndim != 2 or weights.shape != responses.shape[1:]:
        raise InputError(
            f"responses: found shape {responses.shape} with weights of shape {weights.shape};"
            " expected (images, neurons) and (neurons,)."
        )
    if not len(responses):
        raise InputError("responses: 0 images; expected at least 1.")
    if not np.isfinite(weights).all():
        raise InputError("responses: values or weights that are not finite; expected finite ones.")
    if not weights.any():
        raise InputError("weights: all 0; expected at least one neuron with a positive weight.")
    weights = weights / np.abs(weights).max()
    square = np.zeros(len(responses))
    for block in _centred_blocks(responses, weights):
        square += np.einsum("pn,pn->p", block, block)
    if not np.isfinite(square).all():
        raise InputError("responses: values or weights that are not finite; expected finite ones.")
    length = np.sqrt(square)
    # Centring leaves roundings of about 1e-16 where the exact result is zero.
    zero = np.flatnonzero(length <= 1e-12 * length.max())
    if len(zero):
        name = zero[0] if key is None else key[zero[0]]
        raise InputError(
            f"responses: image '{name}' has a zero vector after centring; expected responses that differ from"
            " the mean over images."
        )
    from scipy.linalg.blas import ssyrk  # slow to import, and jobs that read a matrix do not need it

    cosine = np.zeros((len(responses),) * 2, np.float32, order="F")
    for block in _centred_blocks(responses, weights):
        block /= length[:, None]
        # Half the work of a general product: only the upper triangle is computed.
        cosine = ssyrk(1.0, block.astype(np.float32).T, beta=1.0, c=cosine, trans=1, overwrite_c=1)
    for start in range(0, len(cosine), CHUNK):
        stop = start + CHUNK
        square_on_diagonal = cosine[start:stop, start:stop]
        square_on_diagonal += np.triu(square_on_diagonal, 1).T
        cosine[stop:, start:stop] = cosine[start:stop, stop:].T
    np.clip(cosine, -1, 1, out=cosine)
    np.fill_diagonal(cosine, 1)
    return cosine.T


def _centred_blocks(responses: np.ndarray, weights: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the weighted, centred responses of `CHUNK` neurons at a time, float64 (P, <= CHUNK)."""
    for start in range(0, len(weights), CHUNK):
        block = responses[:, start : start + CHUNK] * weights[start : start + CHUNK]
        # The mean of equal numbers may be off by a rounding, which must not pass for a signal.
        constant = block.max(0) == block.min(0)
        block -= block.mean(0)
        block[:, constant] = 0
        yield block


def mean_similarity(
    similarities: Iterable[SimilarityMatrix], provenance: Mapping[str, object] | None = None
) -> SimilarityMatrix:
    """Return the mean over scans; holds two matrices and a float64 sum, however many there are.

    Parameters
    ----------
    similarities
        At least one; all with the same keys in the same order.
    provenance
        Of the mean.

    Raises
    ------
    InputError
        If there is none, or the keys differ.
    """
    total, key, scans, count = None, None, [], 0
    for similarity in similarities:
        if total is None:
            total, key = similarity.matrix.astype(np.float64), similarity.key
        elif np.array_equal(key, similarity.key):  # type: ignore[arg-type]
            total += similarity.matrix
        else:
            name = ", ".join(similarity.scans) or f"number {count + 1}"
            raise InputError(f"similarity of {name}: other image keys than before; expected the same.")
        scans += similarity.scans
        count += 1
    if total is None:
        raise InputError("similarities: none to average; expected at least one.")
    total /= count
    return SimilarityMatrix(total.astype(np.float32), key, tuple(scans), provenance or {})  # type: ignore[arg-type]


def shuffled(similarity: SimilarityMatrix, seed: int) -> SimilarityMatrix:
    """Return the matrix with the images' identities shuffled: the paper's control "Shuffle".

    Rows and columns are permuted together, so that all values and the spectrum stay and only what belongs to
    which image is lost. The permutation stays with the matrix: with its inverse the shuffle can be undone.

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
    provenance = {"kind": "shuffled", "seed": seed, "of": dict(similarity.provenance)}
    matrix = similarity.matrix[np.ix_(order, order)]
    return SimilarityMatrix(matrix, similarity.key, similarity.scans, provenance, order)


def upper_triangle(matrix: np.ndarray) -> np.ndarray:
    """Return the values above the diagonal of a (Q, Q) matrix, row by row, (Q (Q - 1) / 2,)."""
    return matrix[~np.tri(len(matrix), dtype=bool)]


def similarity_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of the upper triangles of two (Q, Q) matrices.

    Raises
    ------
    InputError
        If the sizes differ, there are fewer than `FEWEST_IMAGES` images, or one triangle is constant.
    """
    if a.shape != b.shape or len(a) < FEWEST_IMAGES:
        raise InputError(f"similarity: shapes {a.shape} and {b.shape}; expected the same, at least (3, 3).")
    x, y = upper_triangle(a).astype(np.float64), upper_triangle(b).astype(np.float64)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise InputError("similarity: all pairs have the same value; expected values that can be correlated.")
    return float(np.corrcoef(x, y)[0, 1])


def split_repeats(
    responses: np.ndarray, repeats: Iterable[np.ndarray], chosen: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return one trial of each image, and the mean of its others.

    Parameters
    ----------
    responses
        float (T, N).
    repeats
        The trials of each image, int (R,) with R >= 2.
    chosen
        Which of each image's trials is the one.

    Returns
    -------
    single, others : numpy.ndarray
        float64 (O, N), one row an image.
    """
    single, others = [], []
    for trials, one in zip(repeats, chosen, strict=True):
        single.append(responses[trials[one]].astype(np.float64))
        others.append(responses[np.delete(trials, one)].mean(0, dtype=np.float64))
    return np.stack(single), np.stack(others)
