"""Predicted responses: to any images, or to the trials of a scan."""

import numpy as np
import torch

from neuroreg.devices import full_float32
from neuroreg.errors import InputError
from neuroreg.response_model.model import ResponseModel, shift_map
from neuroreg.scans.scan import Scan

BATCH = 64


@full_float32()
@torch.inference_mode()
def predict_pool(model: ResponseModel, images: np.ndarray, *, batch_size: int = BATCH) -> np.ndarray:
    """Return the expected responses to images, averaged over the animal's states.

    Gain and shift are averaged over the training behaviours and pupil positions stored in the model, the same
    for every image, so that the prediction depends on the image alone.

    Parameters
    ----------
    model
        A fitted model.
    images
        uint8 (P, H, W).
    batch_size
        Images at a time; bounds the memory, does not change the result beyond float rounding.

    Returns
    -------
    numpy.ndarray
        float32 (P, N), in the units of the scan's responses.

    Raises
    ------
    InputError
        If `images` is not a stack of uint8 images.
    """
    if images.ndim != 3 or images.dtype != np.uint8:
        raise InputError(
            f"images: found {images.dtype} {images.shape}; expected uint8 (images, height, width)."
        )
    model.eval()
    device = model.response_std.device
    scaled_gains = model.gain(model.context_behavior) * model.response_std
    shifts = model.shift(model.context_pupil_center)
    predicted = np.empty((len(images), len(model.response_std)), np.float32)
    tiles = None  # the same for all maps
    for start in range(0, len(images), batch_size):
        features = model.map(torch.tensor(images[start : start + batch_size], device=device))
        tiles = tiles or model.readout.tiles(*features.shape[2:])
        total = 0.0
        for gain, shift in zip(scaled_gains, shifts, strict=True):
            moved = shift_map(features, shift.expand(len(features), 2))
            total = total + gain * model.readout.read(moved, tiles)
        predicted[start : start + batch_size] = (total / len(shifts)).cpu().numpy()
    return predicted


@full_float32()
@torch.inference_mode()
def predict_trials(
    model: ResponseModel, scan: Scan, trials: np.ndarray, *, batch_size: int = BATCH
) -> np.ndarray:
    """Return the expected responses in given trials, with each trial's own behaviour and pupil position.

    Parameters
    ----------
    model
        A model fitted to this scan.
    scan
        The scan.
    trials
        int (K,), indices of trials.
    batch_size
        Images at a time.

    Returns
    -------
    numpy.ndarray
        float32 (K, N), in the units of the scan's responses.
    """
    model.eval()
    device = model.response_std.device
    trials = np.asarray(trials, np.int64)
    predicted = np.empty((len(trials), len(model.response_std)), np.float32)
    # Trials of one image share its map: repeats cost only their sampling.
    order = np.argsort(scan.image[trials], kind="stable")
    for start in range(0, len(trials), batch_size):
        rows = order[start : start + batch_size]
        chosen = trials[rows]
        unique, inverse = np.unique(scan.image[chosen], return_inverse=True)
        features = model.map(torch.tensor(scan.images[unique], device=device))
        behavior = torch.tensor(scan.behavior[chosen], device=device)
        pupil_center = torch.tensor(scan.pupil_center[chosen], device=device)
        rates = model(features[torch.tensor(inverse, device=device)], behavior, pupil_center)
        predicted[rows] = (rates * model.response_std).cpu().numpy()
    return predicted
