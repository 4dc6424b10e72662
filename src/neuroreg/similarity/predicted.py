"""What the predictive model of a scan answers to the images whose similarity is wanted."""

import numpy as np

from neuroreg.images.stimuli import Stimuli
from neuroreg.response_model.model import ResponseModel
from neuroreg.response_model.predict import predict_pool
from neuroreg.scans.scan import Scan
from neuroreg.similarity.denoised import PredictedResponses
from neuroreg.similarity.units import response_units


def predict_responses(
    model: ResponseModel, w: np.ndarray, v: np.ndarray, stimuli: Stimuli, scan: Scan
) -> PredictedResponses:
    """Return a scan's predicted responses to the common pool and to its own repeated images.

    Parameters
    ----------
    model
        Fitted to `scan`, on the device where it is to compute.
    w, v
        float32 (N,), see `PredictedResponses`.
    stimuli
        Their pool is predicted; the oracle images of the stimuli are not.
    scan
        Its own repeated images, and the units of its responses.
    """
    pool, oracle = ~stimuli.oracle, scan.repeated_images()
    return PredictedResponses(
        key=stimuli.key[pool],
        predicted=predict_pool(model, stimuli.images[pool]),
        oracle_key=scan.key[oracle],
        oracle_predicted=predict_pool(model, scan.images[oracle]),
        w=w,
        v=v,
        std=response_units(scan, "std").astype(np.float32),
    )
