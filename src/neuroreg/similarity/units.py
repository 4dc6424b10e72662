"""In which units neurons enter a similarity, and how many of them it then rests on."""

import logging
from typing import Literal

import numpy as np

from neuroreg.scans.reliability import response_deviation
from neuroreg.scans.scan import Scan

logger = logging.getLogger(__name__)
Units = Literal["std", "source"]
UNITS: tuple[Units, ...] = ("std", "source")
FEWEST_EFFECTIVE = 0.05  # share of the neurons below which a few of them decide the similarity
_BLOCK = 512  # neurons at once: bounds the memory of a copy in double precision


def response_units(scan: Scan, units: Units) -> np.ndarray:
    """Return what each neuron's responses are divided by before they are weighted.

    Parameters
    ----------
    scan
        The scan.
    units
        ``"std"``: each neuron's standard deviation over all measured trials, see
        `neuroreg.scans.reliability.response_deviation`. ``"source"``: 1.

    Returns
    -------
    numpy.ndarray
        float64 (N,), positive.
    """
    if units == "source":
        return np.ones(scan.responses.shape[1])
    measured = ~np.isin(scan.tier, scan.withheld_tiers())
    return response_deviation(scan.responses if measured.all() else scan.responses[measured])


def effective_neurons(responses: np.ndarray, weights: np.ndarray) -> float:
    """Return on how many neurons a similarity rests: the participation ratio of their shares of variance.

    ``(sum_a s_a)^2 / sum_a s_a^2``, with s_a the variance over images of neuron a's weighted responses: what
    the neuron adds to the squared length of the centred population vectors. N if all have the same share, 1
    if one neuron has it all.

    Parameters
    ----------
    responses
        float (P, N), one row an image.
    weights
        float (N,).

    Returns
    -------
    float
        Between 1 and N; 0 if no weighted response varies.
    """
    parts = [slice(start, start + _BLOCK) for start in range(0, len(weights), _BLOCK)]
    variance = np.concatenate([responses[:, part].var(0, dtype=np.float64) for part in parts])
    size = np.where(variance > 0, np.abs(np.asarray(weights, np.float64)), 0)
    if not size.any():
        return 0.0
    share = variance * np.square(size / size.max())
    return float(share.sum() ** 2 / np.square(share).sum())


def warn_of_few(scan: str, effective: float, neurons: int, units: Units) -> None:
    """Log a warning if less than `FEWEST_EFFECTIVE` of a scan's neurons carry its similarity."""
    if effective < FEWEST_EFFECTIVE * neurons:
        logger.warning(
            "scan '%s': in units '%s' its similarity rests on %.3g of %d neurons (effective number, %.2g %%);"
            " below %g %% a few neurons decide it",
            scan,
            units,
            effective,
            neurons,
            100 * effective / neurons,
            100 * FEWEST_EFFECTIVE,
        )
