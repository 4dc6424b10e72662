"""Which neurons of a scan are used: by area, by layer, by how well they repeat themselves."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from neuroreg.errors import InputError
from neuroreg.scans.reliability import FEWEST_REPEATED, jackknife_oracle
from neuroreg.scans.scan import Scan

logger = logging.getLogger(__name__)
_BLOCK = 512  # neurons at once: 4 MB for 1,000 trials in double precision


@dataclass(frozen=True, eq=False)
class Selection:
    """The selected neurons of a scan, and why the others are not among them.

    Attributes
    ----------
    scan
        The scan with the selected neurons only.
    dropped
        Neurons dropped by ``area``, ``layer`` and ``oracle``, each neuron under the first that applies.
    unused
        Why the oracle was asked for and not used; None if it was used or not asked for.
    """

    scan: Scan
    dropped: dict[str, int]
    unused: str | None


def select_neurons(
    name: str,
    scan: Scan,
    *,
    areas: Collection[str] | None = None,
    layers: Collection[str] | None = None,
    min_oracle: float | None = None,
) -> Selection:
    """Return a scan with the neurons of some areas and layers whose oracle is high enough.

    The oracle is `jackknife_oracle` over the images repeated in the test tier. The same repeats later give
    each neuron's reliability w and its test correlations, which are therefore those of neurons chosen on
    these trials: slightly too high, and the more so the higher `min_oracle` and the fewer the repeats.

    Parameters
    ----------
    name
        The scan's name, for messages.
    scan
        The scan.
    areas, layers
        Names as in the source, e.g. ``V1`` and ``L2/3``, or ``unknown``; None takes all.
    min_oracle
        Smallest oracle correlation of a neuron that is taken; None takes all. Without effect, and logged, in
        a scan whose test tier is withheld or has fewer than two repeated images.

    Raises
    ------
    InputError
        If no neuron is left, or those left are silent in a tier in which others respond.
    """
    kept = np.ones(len(scan.unit_id), np.bool_)
    dropped = {}
    for reason, labels, wanted in (("area", scan.area, areas), ("layer", scan.layer, layers)):
        fits = np.isin(labels, list(wanted)) if wanted is not None else np.ones_like(kept)  # type: ignore[arg-type]
        dropped[reason] = int((kept & ~fits).sum())
        kept &= fits
    if not kept.any():
        raise InputError(
            f"scan '{name}': no neuron is in {_asked(areas, layers)}; it has {_found(scan)}, "
            f"expected at least one neuron."
        )
    unused = None if min_oracle is None else _why_no_oracle(scan)
    dropped["oracle"] = 0
    if unused:
        logger.warning("scan '%s': neurons not selected by oracle: %s", name, unused)
    elif min_oracle is not None:
        oracle = _oracle(scan, np.flatnonzero(kept))
        best, high = oracle.max(), oracle >= min_oracle
        if not high.any():
            raise InputError(
                f"scan '{name}': the highest oracle of its {len(oracle)} neurons is {best:.3f}; "
                f"expected at least one of neurons.min_oracle {min_oracle:g}."
            )
        dropped["oracle"] = int((~high).sum())
        kept[kept] = high
    if kept.all():
        return Selection(scan, dropped, unused)
    fields = ("unit_id", "area", "layer")
    chosen = {field: getattr(scan, field)[kept] for field in fields}
    selected = replace(scan, responses=scan.responses[:, kept], **chosen)
    # Of a scan that does respond there, zeros are no sign of responses that were not published.
    silent = [tier for tier in selected.withheld_tiers() if tier not in scan.withheld_tiers()]
    if silent:
        raise InputError(
            f"scan '{name}': the {kept.sum()} selected neurons never respond in tier '{silent[0]}', others "
            f"of its {len(kept)} do; expected other neurons (config section neurons)."
        )
    return Selection(selected, dropped, unused)


def _asked(areas: Collection[str] | None, layers: Collection[str] | None) -> str:
    asked = (("neurons.areas", areas), ("neurons.layers", layers))
    return " and ".join(f"{key} {', '.join(wanted)}" for key, wanted in asked if wanted is not None)


def _found(scan: Scan) -> str:
    pairs = sorted(set(zip(scan.area.tolist(), scan.layer.tolist(), strict=True)))  # type: ignore[union-attr]
    return ", ".join(f"area {area} layer {layer}" for area, layer in pairs)


def _why_no_oracle(scan: Scan) -> str | None:
    if "test" in scan.withheld_tiers():
        return "the test tier is withheld"
    repeated = len(scan.repeated_images())
    return f"{repeated} images repeated in the test tier" if repeated < FEWEST_REPEATED else None


def _oracle(scan: Scan, neurons: np.ndarray) -> np.ndarray:
    trials = scan.trials_of("test")
    image = scan.image[trials]
    blocks = (neurons[start : start + _BLOCK] for start in range(0, len(neurons), _BLOCK))
    return np.concatenate([jackknife_oracle(scan.responses[np.ix_(trials, b)], image) for b in blocks])
