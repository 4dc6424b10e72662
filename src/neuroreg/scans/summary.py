"""What is in a scan and what became of it when it was read, in numbers that a person can check."""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np

from neuroreg.scans.scan import TIERS, Scan
from neuroreg.scans.selection import Selection

logger = logging.getLogger(__name__)
FEW = 0.05  # of the responses: baselines that were subtracted leave some negative ones


def summarise_scan(name: str, read: Scan, selection: Selection) -> dict:
    """Return what `read` was and what `selection` left of it, ready for JSON.

    Parameters
    ----------
    name
        The scan's name.
    read
        The scan as it was read.
    selection
        What `select_neurons` returned for it.

    Returns
    -------
    dict
        ``scan``: the name. ``neurons``: ``read``, ``kept``, ``dropped`` by reason, ``oracle_unused`` (why, or
        None), ``areas`` and ``layers`` (for each label how many were ``read`` and ``kept``). ``trials``: how
        many of each tier. ``missing``: what was dropped before for missing values and is not among these,
        ``trials`` by tier and ``neurons``. ``left_out_tiers``: trials by tier. ``withheld_tiers``: those
        whose responses are all exactly 0. ``negative_responses``: the share of the kept neurons'
        responses that are below 0, as of z-scored ones, and count as 0 where response models are fitted.
        ``images``: ``count``, how many of them are ``different`` in their pixels, and ``sha256``, see
        `image_digest`.
        ``repeats``: how many images of the test tier were shown once, twice, ... ``ragged``: whether not all
        equally often. ``covariates``: for each kind, how many columns hold anything but 0.
    """
    kept = selection.scan
    return {
        "scan": name,
        "neurons": {
            "read": len(read.unit_id),
            "kept": len(kept.unit_id),
            "dropped": selection.dropped,
            "oracle_unused": selection.unused,
            "areas": _counts(read.area, kept.area),
            "layers": _counts(read.layer, kept.layer),
        },
        "trials": {tier: int((read.tier == tier).sum()) for tier in TIERS},
        "missing": {
            "trials": dict(Counter(read.missing_tier.tolist())),
            "neurons": len(read.missing_unit),
        },
        "left_out_tiers": dict(Counter(read.left_out.tolist())),
        "withheld_tiers": list(kept.withheld_tiers()),
        "negative_responses": float((kept.responses < 0).mean()),
        "images": {
            "count": len(read.images),
            "different": len({image.tobytes() for image in read.images}),
            "sha256": image_digest(read.key, read.images),
        },
        "repeats": (repeats := _repeats(read)),
        "ragged": len(repeats) > 1,
        "covariates": {
            kind: int(getattr(read, kind).any(axis=0).sum()) for kind in ("behavior", "pupil_center")
        },
    }


def image_digest(key: np.ndarray, images: np.ndarray) -> str:
    """Return the SHA-256 of keys and pixels, whatever their order.

    Parameters
    ----------
    key
        str (I,), all different.
    images
        uint8 (I, H, W).

    Returns
    -------
    str
        64 hexadecimal digits: of each key in UTF-8, a zero byte and the pixels row by row, by sorted key.
    """
    digest = hashlib.sha256()
    for i in np.argsort(key):
        digest.update(key[i].encode() + b"\0" + images[i].tobytes())
    return digest.hexdigest()


def log_summary(summary: Mapping) -> None:
    """Tell what matters of a summary: `summary_warnings` and, not to the terminal, `summary_lines`."""
    for line in summary_lines(summary):
        logger.info("%s", line)
    for line in summary_warnings(summary):
        logger.warning("%s", line)


def summary_warnings(summary: Mapping) -> list[str]:
    """Return what of a summary may be a mistake that costs the similarity most of what it is of, a line each.

    Negative responses of more than 5 %, images that are told apart though they are the same, a test tier that
    repeats none.
    """
    name, images, repeats, lines = summary["scan"], summary["images"], summary["repeats"], []
    if images["different"] < images["count"]:
        lines.append(
            f"images: {images['count']} keys, but only {images['different']} different images; repeats are "
            "told by keys, so that an image under several keys is not taken for repeated"
        )
    if repeats and set(repeats) == {"1"} and "test" not in summary["withheld_tiers"]:
        lines.append(
            f"test tier: {repeats['1']} images, each shown once; without repeats w is 1 for every neuron, "
            "and nothing measures the similarity that is modelled"
        )
    if summary["negative_responses"] > FEW:
        lines.append(_negative(summary))
    return [f"scan '{name}': {line}" for line in lines]


def _negative(summary: Mapping) -> str:
    return (
        f"negative responses: {summary['negative_responses']:.1%} of all; they count as 0 where response "
        "models are fitted, for a Poisson rate has none: expected rates or fluorescence, not z-scores"
    )


def summary_lines(summary: Mapping) -> list[str]:
    """Return what else matters of a summary, a line each."""
    neurons, images, name = summary["neurons"], summary["images"], summary["scan"]
    places = ", ".join(
        f"{label} {count['read']}" for kind in ("areas", "layers") for label, count in neurons[kind].items()
    )
    dropped = ", ".join(f"{count} by {reason}" for reason, count in neurons["dropped"].items() if count)
    trials = ", ".join(f"{tier} {count}" for tier, count in summary["trials"].items())
    repeats = ", ".join(f"{shown} x {times}" for times, shown in summary["repeats"].items())
    covariates = ", ".join(f"{kind} {count}" for kind, count in summary["covariates"].items())
    lines = [
        f"neurons: {neurons['read']} read, {neurons['kept']} kept; dropped: {dropped or 'none'}; {places}",
        f"trials: {trials}",
        f"images: {images['count']}, sha256 {images['sha256']}",
        f"test images x showings: {repeats or 'none'}{' (ragged)' if summary['ragged'] else ''}",
        f"covariates, columns with anything but 0: {covariates}",
    ]
    if 0 < summary["negative_responses"] <= FEW:
        lines.append(_negative(summary))
    missing = summary["missing"]
    if missing["trials"] or missing["neurons"]:
        trials = ", ".join(f"{tier} {count}" for tier, count in missing["trials"].items())
        lines.append(
            f"dropped for missing values: trials: {trials or 'none'}; neurons: {missing['neurons'] or 'none'}"
        )
    lines += [f"tier '{tier}' left out: {n} trials" for tier, n in summary["left_out_tiers"].items()]
    lines += [
        f"tier '{tier}' withheld: all its responses are exactly 0; it is never used"
        for tier in summary["withheld_tiers"]
    ]
    return [f"scan '{name}': {line}" for line in lines]


def _counts(read: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, int]]:
    of_kept = Counter(kept.tolist())
    return {
        label: {"read": count, "kept": of_kept[label]}
        for label, count in sorted(Counter(read.tolist()).items())
    }


def _repeats(scan: Scan) -> dict[str, int]:
    _, times = np.unique(scan.image[scan.tier == "test"], return_counts=True)
    # Text, because JSON has no other keys.
    return {str(number): count for number, count in sorted(Counter(times.tolist()).items())}
