"""How well one trial, and the predictive model, recover the similarity of repeat-averaged responses."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuroreg.errors import InputError
from neuroreg.response_model.reliability import average_repeats
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed
from neuroreg.similarity import centred_cosine, denoised_weights, similarity_correlation


@dataclass(frozen=True)
class OracleSimilarities:
    """Similarity of a scan's oracle images, three times (PAPER section 2: r = 0.39 and 0.73).

    Attributes
    ----------
    key
        str (O,), the oracle images.
    single_trial, averaged, model
        float32 (O, O): from one trial of each image, from the mean of all, from the model's predictions.
    single_trial_to_average, model_to_average
        Correlation of the upper triangle with that of `averaged`.
    """

    key: np.ndarray
    single_trial: np.ndarray
    averaged: np.ndarray
    model: np.ndarray
    single_trial_to_average: float
    model_to_average: float

    def matrices(self) -> Mapping[str, np.ndarray]:
        """Return the three matrices by name."""
        names = ("single_trial", "averaged", "model")
        return {name: getattr(self, name) for name in names}


def oracle_similarities(
    scan: Scan, predicted: np.ndarray, w: np.ndarray, v: np.ndarray, *, exponent: float = 1.0, seed: int
) -> OracleSimilarities:
    """Compare measured and predicted similarity on the oracle images of one scan.

    Parameters
    ----------
    scan
        The scan.
    predicted
        float (O, N), predicted responses to ``scan.images[scan.repeated_images()]``.
    w, v
        float (N,): measured responses are weighted by w, predicted ones by ``(w v)^exponent``.
    exponent
        See `denoised_weights`.
    seed
        Chooses the single trial of each image. The average has that trial in it, as one of all.

    Raises
    ------
    InputError
        If the test tier is withheld, there are fewer than three oracle images, or the prediction is of
        another size.
    """
    images = scan.repeated_images()
    if len(images) < 3:
        raise InputError(f"scan: {len(images)} images repeated in the test tier; expected at least 3.")
    if predicted.shape != (len(images), scan.responses.shape[1]):
        raise InputError(
            f"predicted: found shape {predicted.shape}; expected ({len(images)}, {scan.responses.shape[1]}):"
            " one row an oracle image, one column a neuron."
        )
    trials = scan.trials_of("test")
    trials = trials[np.isin(scan.image[trials], images)]
    responses, image, key = scan.responses[trials], scan.image[trials], scan.key[images]
    average, _, _ = average_repeats(responses, image)
    generator = np.random.default_rng(derive_seed(seed, "single trial"))
    # Of shuffled trials, the first of each image.
    order = generator.permutation(len(trials))
    _, first = np.unique(image[order], return_index=True)
    single = responses[order[first]]
    single_trial, averaged = (centred_cosine(r, w, key) for r in (single, average))
    model = centred_cosine(predicted, denoised_weights(w, v, exponent), key)
    return OracleSimilarities(
        key,
        single_trial,
        averaged,
        model,
        similarity_correlation(single_trial, averaged),
        similarity_correlation(model, averaged),
    )
