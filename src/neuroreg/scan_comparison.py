"""How scans agree with themselves and with each other: the numbers of the similarity figure."""

from collections.abc import Iterable

import pandas as pd

from neuroreg.response_model.responses import PredictedResponses
from neuroreg.scan_similarity import (
    FEWEST_IMAGES,
    MODEL,
    SINGLE_TRIAL,
    OracleSimilarities,
    oracle_similarities,
)
from neuroreg.scans.scan import Scan
from neuroreg.similarity import centred_cosine, denoised_weights, similarity_correlation

COMPARED_IMAGES = 1000
BETWEEN_SCANS = "model, between scans"


def compare_scans(
    scans: Iterable[tuple[str, Scan, PredictedResponses]], *, exponent: float, seed: int
) -> tuple[dict[str, OracleSimilarities], pd.DataFrame]:
    """Compare measured and modelled similarity within each scan, and modelled similarity between scans.

    Parameters
    ----------
    scans
        Name, scan and its predicted responses; taken one after the other. A scan with fewer than
        `FEWEST_IMAGES` images repeated in its test tier, or without their responses, takes part in the
        comparison between scans only.
    exponent
        Of the weights, see `neuroreg.similarity.denoised_weights`.
    seed
        Chooses the single trials.

    Returns
    -------
    dict of OracleSimilarities
        By name, one for each scan with enough repeated images; perhaps none.
    pandas.DataFrame
        Columns scan, comparison, r. Between scans, r is that of the similarities of the first
        `COMPARED_IMAGES` images of the pool at the most.
    """
    within, rows, modelled = {}, [], {}
    for name, scan, responses in scans:
        if len(scan.repeated_images()) >= FEWEST_IMAGES and "test" not in scan.withheld_tiers():
            similarities = oracle_similarities(
                scan, responses.oracle_predicted, responses.w, responses.v, exponent=exponent, seed=seed
            )
            within[name] = similarities
            rows.append((name, SINGLE_TRIAL, similarities.single_trial_to_average))
            rows.append((name, MODEL, similarities.model_to_average))
        chosen = slice(0, COMPARED_IMAGES)
        weights = denoised_weights(responses.w, responses.v, exponent)
        similarity = centred_cosine(responses.predicted[chosen], weights, responses.key[chosen])
        for other, matrix in modelled.items():
            rows.append((f"{other} and {name}", BETWEEN_SCANS, similarity_correlation(matrix, similarity)))
        modelled[name] = similarity
    return within, pd.DataFrame(rows, columns=["scan", "comparison", "r"])
