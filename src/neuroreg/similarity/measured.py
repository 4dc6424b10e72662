"""Similarity of the images of one scan as it was measured, every image averaged over its trials."""

import numpy as np

from neuroreg.errors import InputError
from neuroreg.scans.reliability import average_repeats
from neuroreg.scans.scan import Scan
from neuroreg.similarity.matrix import FEWEST_IMAGES, SimilarityMatrix, centred_cosine, denoised_weights
from neuroreg.similarity.raw import repeat_weights
from neuroreg.similarity.units import Units, response_units


def measured_similarity(
    scan: Scan,
    tier: str | None = None,
    *,
    exponent: float = 1.0,
    units: Units = "std",
    bias_correction: bool = False,
) -> SimilarityMatrix:
    """Return the similarity of a scan's images in responses averaged over each image's trials.

    Centred cosine of neurons weighted by w^exponent (Li et al. 2019, main text). w is 1 for every neuron of a
    scan without measured repeats.

    Parameters
    ----------
    scan
        The scan.
    tier
        ``train``, ``validation`` or ``test`` for the images of that tier; all measured ones if None.
    exponent
        See `neuroreg.similarity.matrix.denoised_weights`.
    units
        See `neuroreg.similarity.units.response_units`.
    bias_correction
        See `neuroreg.scans.reliability.signal_to_noise_weight`.

    Returns
    -------
    SimilarityMatrix
        Keys in the order of the scan's images.

    Raises
    ------
    InputError
        If the tier is unknown or withheld, it has fewer than `FEWEST_IMAGES` images, or all weights are 0.
    """
    if tier is None:
        trials = np.flatnonzero(~np.isin(scan.tier, scan.withheld_tiers()))
    else:
        trials = scan.trials_of(tier)
    image = np.unique(scan.image[trials])
    if len(image) < FEWEST_IMAGES:
        what = "all tiers together" if tier is None else f"tier '{tier}'"
        raise InputError(f"scan: {len(image)} images in {what}; expected at least {FEWEST_IMAGES}.")
    means, _, _ = average_repeats(scan.responses[trials], scan.image[trials])
    w = repeat_weights("scan", scan, bias_correction)
    weights = denoised_weights(w, np.ones_like(w), exponent, response_units(scan, units))
    key = scan.key[image]
    provenance = {
        "kind": "measured",
        "tier": tier,
        "units": units,
        "weight_exponent": exponent,
        "bias_correction": bias_correction,
    }
    return SimilarityMatrix(centred_cosine(means, weights, key), key, (), provenance)
