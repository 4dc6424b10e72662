"""What becomes of values that a lab's file lacks: NaN in responses, behaviour or pupil position."""

from typing import Literal, get_args

import numpy as np

from neuroreg.errors import InputError
from neuroreg.scans.scan import Scan

Missing = Literal["refuse", "drop_trials", "drop_neurons"]
_OF_TRIALS = ("image", "tier", "responses", "behavior", "pupil_center")
_OF_NEURONS = ("unit_id", "area", "layer")


def scan_without_missing(missing: Missing, **fields: np.ndarray | None) -> Scan:
    """Return the scan that is left when trials or neurons with missing values are dropped.

    Parameters
    ----------
    missing
        ``"refuse"``: NaN is refused. ``"drop_trials"``: a trial in which a response, behaviour or the pupil
        position is NaN is dropped. ``"drop_neurons"``: a trial without behaviour or pupil position is
        dropped, as no neuron is to blame for it; then neurons with NaN in any other trial are.
    fields
        What a `Scan` is made of; `responses`, `behavior` and `pupil_center` may hold NaN.

    Returns
    -------
    Scan
        Without images that only dropped trials have shown; its ``missing_tier`` and ``missing_unit`` say what
        was dropped.

    Raises
    ------
    InputError
        If nothing is left, or the rest is no scan.
    """
    if missing not in get_args(Missing):
        raise InputError(f"missing: '{missing}'; expected one of: {', '.join(get_args(Missing))}.")
    responses = fields["responses"]
    if missing == "refuse" or not any(np.isnan(fields[kind]).any() for kind in _OF_TRIALS[2:]):
        return Scan(**fields)
    no_covariate = np.isnan(fields["behavior"]).any(1) | np.isnan(fields["pupil_center"]).any(1)
    gaps = np.isnan(responses)
    trials, neurons = ~no_covariate, np.ones(responses.shape[1], np.bool_)
    if missing == "drop_trials":
        trials &= ~gaps.any(1)
    else:
        neurons = ~gaps[trials].any(0)
    if not (trials.any() and neurons.any()):
        raise InputError(
            f"no {'neuron' if trials.any() else 'trial'} without missing values: NaN in the responses of "
            f"{int(gaps.any(1).sum())} of {len(trials)} trials and of {int(gaps.any(0).sum())} of "
            f"{len(neurons)} neurons, in behavior or pupil_center of {int(no_covariate.sum())} trials; "
            f"expected something to be left by missing: {missing}."
        )
    kept = dict(fields)
    kept |= {name: fields[name][trials] for name in _OF_TRIALS}
    kept |= {name: fields[name][neurons] for name in _OF_NEURONS if fields.get(name) is not None}
    if not neurons.all():
        kept["responses"] = kept["responses"][:, neurons]
    # An image that no trial has shown at all is not lost for these.
    everything = np.arange(len(fields["images"]))
    images = np.isin(everything, kept["image"]) | ~np.isin(everything, fields["image"])
    kept |= {
        "images": fields["images"][images],
        "key": fields["key"][images],
        "image": (np.cumsum(images) - 1)[kept["image"]],
        "missing_tier": fields["tier"][~trials],
        "missing_unit": fields["unit_id"][~neurons],
    }
    return Scan(**kept)
