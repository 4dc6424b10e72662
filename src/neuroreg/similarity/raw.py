"""Similarity of the stimuli as it was measured, from one trial of each: the paper's condition "Raw"."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroreg.errors import InputError, naming
from neuroreg.files.records import read_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.scans.reliability import signal_to_noise_weight
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed
from neuroreg.similarity.matrix import (
    FEWEST_IMAGES,
    SimilarityMatrix,
    centred_cosine,
    denoised_weights,
    mean_similarity,
)
from neuroreg.similarity.units import Units, effective_neurons, response_units, warn_of_few

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Measured:
    trial_of: Mapping[str, int]  # key of a pool image to the trial that is taken
    weights: np.ndarray


def raw_similarity(
    paths: Mapping[str, str | Path],
    stimuli: Stimuli,
    *,
    exponent: float = 1.0,
    units: Units = "std",
    bias_correction: bool = False,
    seed: int,
) -> SimilarityMatrix:
    """Return the mean over scans of the measured single-trial similarity (Li et al. 2019, main text).

    No predictive model takes part: neurons are weighted by w^exponent. Only images of the pool that every
    scan has measured can be in it; a trial whose tier is withheld is not measured. Scans are read one after
    the other, twice, so that one is in memory at a time.

    Parameters
    ----------
    paths
        Name of each scan to its file.
    stimuli
        The pool.
    exponent
        See `neuroreg.similarity.matrix.denoised_weights`.
    units
        See `neuroreg.similarity.units.response_units`; a warning is logged if few of the neurons carry a
        scan's similarity.
    bias_correction
        See `neuroreg.scans.reliability.signal_to_noise_weight`.
    seed
        Chooses the trial of an image that was shown several times.

    Returns
    -------
    SimilarityMatrix
        Keys in the order of the stimuli.

    Raises
    ------
    InputError
        If a scan has measured none of the pool, all together fewer than `FEWEST_IMAGES`, a scan has other
        pixels under a key of the pool, or, with the scan's name, all its weights are 0 or an image's
        responses are the mean over images.
    """
    pool = {key: index for index, key in enumerate(stimuli.key.tolist()) if not stimuli.oracle[index]}

    def measure(name: str) -> _Measured:
        scan = read_record(paths[name], Scan)
        w = repeat_weights(name, scan, bias_correction)
        trial_of = _single_trials(name, scan, stimuli.images, pool, seed)
        unit = response_units(scan, units)
        with naming(f"scan '{name}'"):
            return _Measured(trial_of, denoised_weights(w, np.ones_like(w), exponent, unit))

    measured = {name: measure(name) for name in paths}
    key = [key for key in pool if all(key in scan.trial_of for scan in measured.values())]
    logger.info("%d of the pool's %d images are measured in every scan", len(key), len(pool))
    if len(key) < FEWEST_IMAGES:
        raise InputError(
            f"raw similarity: {len(key)} of the pool's {len(pool)} images are measured in every one of the "
            f"scans {', '.join(paths)}; expected at least {FEWEST_IMAGES}."
        )
    keys = np.array(key, dtype=np.str_)

    def of_one(name: str) -> SimilarityMatrix:
        responses = read_record(paths[name], Scan).responses[[measured[name].trial_of[one] for one in key]]
        weights = measured[name].weights
        with naming(f"scan '{name}'"):
            warn_of_few(name, effective_neurons(responses, weights), len(weights), units)
            return SimilarityMatrix(centred_cosine(responses, weights, keys), keys, (name,))

    provenance = {
        "kind": "raw",
        "units": units,
        "weight_exponent": exponent,
        "bias_correction": bias_correction,
        "seed": seed,
        "pool_images": len(pool),
    }
    return mean_similarity(map(of_one, paths), provenance)


def _single_trials(
    name: str, scan: Scan, images: np.ndarray, pool: Mapping[str, int], seed: int
) -> dict[str, int]:
    """Return one measured trial of each image of the pool that the scan has shown."""
    trials = np.flatnonzero(~np.isin(scan.tier, scan.withheld_tiers()))
    # The first of an image in random order is one at random.
    trials = np.random.default_rng(derive_seed(seed, "raw similarity", name)).permutation(trials)
    shown, first = np.unique(scan.image[trials], return_index=True)
    found = {}
    for image, trial in zip(shown, trials[first].tolist(), strict=True):
        key = str(scan.key[image])
        if key not in pool:
            continue
        if not np.array_equal(scan.images[image], images[pool[key]]):
            raise InputError(
                f"raw similarity: scan '{name}' has other pixels under the key '{key}' than the pool; "
                "expected the same image under the same key."
            )
        found[key] = trial
    if not found:
        raise InputError(
            f"raw similarity: scan '{name}' has measured none of the pool's {len(pool)} images; expected a "
            "pool that it has shown, as with stimuli.source 'scan', 'intersection' or 'union'."
        )
    return found


def repeat_weights(name: str, scan: Scan, bias_correction: bool) -> np.ndarray:
    """Return w of each neuron, ones where the scan has no measured repeats."""
    if "test" in scan.withheld_tiers():
        logger.info("%s: test tier withheld: w = 1 for every neuron", name)
        return np.ones(len(scan.unit_id))
    trials = scan.tier == "test"
    return signal_to_noise_weight(scan.responses[trials], scan.image[trials], bias_correction=bias_correction)
