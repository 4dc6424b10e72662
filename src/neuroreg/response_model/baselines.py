"""Simple models of a scan, to stand beside its response model."""

import logging
import time
from functools import partial

from neuroreg.response_model.linear_nonlinear import fit_linear_nonlinear
from neuroreg.response_model.reliability import score_predictions
from neuroreg.response_model.ridge import fit_ridge
from neuroreg.scans.reliability import single_trial_correlation
from neuroreg.scans.scan import Scan

logger = logging.getLogger(__name__)
BASELINES = {"linear_nonlinear": fit_linear_nonlinear, "ridge": fit_ridge}


def score_baselines(scan: Scan) -> dict[str, dict]:
    """Fit each baseline to a scan and score it on the held-out trials that score its response model.

    Parameters
    ----------
    scan
        The scan.

    Returns
    -------
    dict
        For each of `BASELINES` the per-neuron lists of `PredictionScores` (None without usable repeats; NaN
        where FEVE leaves a neuron out) and a ``summary`` with the tier, the number of neurons and the mean
        correlation in validation.

    Raises
    ------
    InputError
        If the scan has too few usable training or validation trials.
    """
    content = {}
    for name, fit in BASELINES.items():
        start = time.monotonic()
        model = fit(scan)
        logger.info("%s: fitted in %.1f s", name, time.monotonic() - start)
        scores = vars(score_predictions(scan, partial(model.predict, scan))).copy()  # type: ignore[attr-defined]
        tier = scores.pop("tier")
        validation = scan.trials_of("validation")
        in_validation = single_trial_correlation(model.predict(scan, validation), scan.responses[validation])  # type: ignore[attr-defined]
        content[name] = {field: None if v is None else v.tolist() for field, v in scores.items()}
        content[name]["summary"] = {
            "tier": tier,
            "neurons": len(in_validation),
            "validation_correlation": float(in_validation.mean()),
        }
    return content
