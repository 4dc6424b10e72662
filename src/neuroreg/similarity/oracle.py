"""How well one trial, and the predictive model, recover the similarity of repeat-averaged responses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from neuroreg.errors import InputError, naming
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed
from neuroreg.similarity.denoised import PredictedResponses
from neuroreg.similarity.matrix import (
    FEWEST_IMAGES,
    centred_cosine,
    denoised_weights,
    similarity_correlation,
    split_repeats,
)
from neuroreg.similarity.units import UNITS, Units, effective_neurons, response_units

CHOICES = 10  # of the single trials; as many as the paper's repeats, each of which is then chosen once
COMPARED_IMAGES = 1000  # of the pool, between scans
# The comparisons, as the similarity figure and its numbers name them.
SINGLE_TRIAL = "single trial vs others averaged"
MODEL = "model vs averaged"
BETWEEN_SCANS = "model, between scans"


@dataclass(frozen=True)
class OracleSimilarities:
    """Similarity of a scan's oracle images, four times (Li et al. 2019, main text: r = 0.39 and 0.73).

    Attributes
    ----------
    key
        str (O,), the oracle images.
    single_trial, others_averaged, averaged, model
        float32 (O, O): from one trial of each image, from the mean of its other trials, from the mean of all,
        from the model's predictions.
    single_trial_to_average
        Correlation of the upper triangles of `single_trial` and `others_averaged`, which share no trial: the
        mean over `CHOICES` choices of the single trials, the first of which is shown by these matrices.
    model_to_average
        Correlation of the upper triangles of `model` and `averaged`.
    """

    key: np.ndarray
    single_trial: np.ndarray
    others_averaged: np.ndarray
    averaged: np.ndarray
    model: np.ndarray
    single_trial_to_average: float
    model_to_average: float

    def matrices(self) -> Mapping[str, np.ndarray]:
        """Return the four matrices by name."""
        names = ("single_trial", "others_averaged", "averaged", "model")
        return {name: getattr(self, name) for name in names}


class ScanComparison(NamedTuple):
    """What `compare_scans` finds.

    Attributes
    ----------
    within
        By name, one for each scan with enough repeated images; perhaps none.
    correlations
        Columns scan, comparison, r. Between scans, r is that of the similarities of the first
        `COMPARED_IMAGES` images of the pool at the most.
    effective
        Columns scan, units, neurons, effective: for each scan and each of `neuroreg.similarity.units.UNITS`
        the number of neurons, and on how many of them the modelled similarity of the pool rests.
    """

    within: dict[str, OracleSimilarities]
    correlations: pd.DataFrame
    effective: pd.DataFrame


def compare_scans(
    scans: Iterable[tuple[str, Scan, PredictedResponses]],
    *,
    exponent: float,
    units: Units = "std",
    seed: int,
) -> ScanComparison:
    """Compare measured and modelled similarity within each scan, and modelled similarity between scans.

    Parameters
    ----------
    scans
        Name, scan and its predicted responses; taken one after the other. A scan with fewer than
        `FEWEST_IMAGES` images repeated in its test tier, or without their responses, takes part in the
        comparison between scans only.
    exponent
        Of the weights, see `neuroreg.similarity.matrix.denoised_weights`.
    units
        Of the responses, see `neuroreg.similarity.units.response_units`.
    seed
        Chooses the single trials.

    Raises
    ------
    InputError
        With the scan's name, if all weights are 0 or there is no similarity to correlate.
    """
    within, rows, effective, modelled = {}, [], [], {}
    for name, scan, responses in scans:
        with naming(f"scan '{name}'"):
            if len(scan.repeated_images()) >= FEWEST_IMAGES and "test" not in scan.withheld_tiers():
                similarities = oracle_similarities(
                    scan,
                    responses.oracle_predicted,
                    responses.w,
                    responses.v,
                    exponent=exponent,
                    units=units,
                    seed=seed,
                )
                within[name] = similarities
                rows.append((name, SINGLE_TRIAL, similarities.single_trial_to_average))
                rows.append((name, MODEL, similarities.model_to_average))
            chosen = slice(0, COMPARED_IMAGES)
            for one in UNITS:
                number = effective_neurons(responses.predicted, responses.weights(exponent, one))
                effective.append((name, one, len(responses.w), number))
            weights = responses.weights(exponent, units)
            similarity = centred_cosine(responses.predicted[chosen], weights, responses.key[chosen])
            for other, matrix in modelled.items():
                rows.append(
                    (f"{other} and {name}", BETWEEN_SCANS, similarity_correlation(matrix, similarity))
                )
            modelled[name] = similarity
    return ScanComparison(
        within,
        pd.DataFrame(rows, columns=["scan", "comparison", "r"]),
        pd.DataFrame(effective, columns=["scan", "units", "neurons", "effective"]),
    )


def oracle_similarities(
    scan: Scan,
    predicted: np.ndarray,
    w: np.ndarray,
    v: np.ndarray,
    *,
    exponent: float = 1.0,
    units: Units = "std",
    seed: int,
) -> OracleSimilarities:
    """Compare measured and predicted similarity on the oracle images of one scan.

    Parameters
    ----------
    scan
        The scan.
    predicted
        float (O, N), predicted responses to ``scan.images[scan.repeated_images()]``.
    w, v
        float (N,): measured responses are weighted by ``w^exponent``, predicted ones by ``(w v)^exponent``.
    exponent
        See `denoised_weights`.
    units
        Of the responses that are weighted, see `neuroreg.similarity.units.response_units`.
    seed
        Orders the trials of each image, which are chosen in turn; an image's other trials are what the chosen
        one is compared with.

    Raises
    ------
    InputError
        If the test tier is withheld, there are fewer than `FEWEST_IMAGES` oracle images, or the prediction is
        of another size.
    """
    repeats = scan.oracle_trials()
    if len(repeats) < FEWEST_IMAGES:
        raise InputError(
            f"scan: {len(repeats)} images repeated in the test tier; expected at least {FEWEST_IMAGES}."
        )
    if predicted.shape != (len(repeats), scan.responses.shape[1]):
        raise InputError(
            f"predicted: found shape {predicted.shape}; expected ({len(repeats)}, {scan.responses.shape[1]}):"
            " one row an oracle image, one column a neuron."
        )
    generator = np.random.default_rng(derive_seed(seed, "single trial"))
    orders = [generator.permutation(trials) for trials in repeats.values()]
    key = scan.key[list(repeats)]
    unit = response_units(scan, units)
    measured_weights = denoised_weights(w, np.ones_like(w), exponent, unit)

    def measured(rows: np.ndarray) -> np.ndarray:
        return centred_cosine(rows, measured_weights, key)

    def choice(number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = [number % len(order) for order in orders]
        single, others = split_repeats(scan.responses, orders, chosen)
        return measured(single), measured(others)

    single_trial, others_averaged = choice(0)
    correlations = [similarity_correlation(single_trial, others_averaged)]
    correlations += [similarity_correlation(*choice(number)) for number in range(1, CHOICES)]
    averaged = measured(np.stack([scan.responses[order].mean(0, dtype=np.float64) for order in orders]))
    model = centred_cosine(predicted, denoised_weights(w, v, exponent, unit), key)
    return OracleSimilarities(
        key,
        single_trial,
        others_averaged,
        averaged,
        model,
        float(np.mean(correlations)),
        similarity_correlation(model, averaged),
    )
