"""Minimal adversarial distances of any model in one call, as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from neuroreg.analysis.distances import closest_table
from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import closest_of
from neuroreg.robustness.evaluation import evaluation, to_input
from neuroreg.robustness.minimal_distance import search
from neuroreg.robustness.settings import AdversarialSettings
from neuroreg.training.checkpoints import load_model

PAPERS_ATTACKS = tuple(attack.method for attack in AdversarialSettings().attacks)


def minimal_distances(
    model: nn.Module | str | Path,
    images: np.ndarray,
    labels: np.ndarray,
    attacks: Sequence[str] | Mapping[str, Sequence[Mapping]] = PAPERS_ATTACKS,
    *,
    repetitions: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    logit_margin: float | None = None,
    pool_images: np.ndarray | None = None,
    pool_labels: np.ndarray | None = None,
) -> pd.DataFrame:
    """Attack a model's correctly classified images and return the smallest distance of each under each norm.

    The paper's protocol: every setting is tried `repetitions` times, and the smallest verified distance over
    all attacks, settings and repetitions counts.

    Parameters
    ----------
    model
        A classifier of gray images in [0, 1], float32 (B, 1, H, W), to logits (B, classes); or the file of a
        trained one. It is moved to `device`.
    images, labels
        uint8 (S, H, W), gray levels 0..255, and int (S,).
    attacks
        Methods (docs/attacks.md) with their default settings, or for each method its settings; what one
        leaves out has the method's default. The paper's ten by default.
    repetitions
        5 in the paper.
    seed
        Decides random starts.
    batch_size
        Rows attacked at once.
    device
        Where to compute.
    logit_margin
        See `neuroreg.robustness.minimal_distance.search`; 4 by default in the workflow.
    pool_images, pool_labels
        Where Brendel & Bethge's attacks start: uint8 (P, H, W) and int (P,), with images of other classes;
        the images themselves if not given.

    Returns
    -------
    pandas.DataFrame
        Columns sample (the image's index), label, correct, norm (l0, l1, l2, linf), distance (float64, pixels
        in [0, 1]: inf if no adversarial was found, 0 where `correct` is False), largest (the distance of the
        farthest image there is), attack (which found it; empty where none did). Ordered by norm, then sample.

    Raises
    ------
    InputError
        If the images or labels do not fit, an attack or a setting will not do, or as
        `neuroreg.robustness.minimal_distance.search`.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise InputError(
            f"images: found {images.dtype} {images.shape} with labels {labels.shape}; expected uint8 "
            "(images, height, width), gray levels 0 to 255, and a label for each."
        )
    if (pool_images is None) != (pool_labels is None):
        raise InputError("pool: found images without labels, or labels without images; expected both.")
    if isinstance(model, str | Path):
        model = load_model(model)  # type: ignore[assignment]
    pool = (images, labels) if pool_images is None else (np.asarray(pool_images), np.asarray(pool_labels))
    settings = _settings(attacks)
    _check_labels(model, images, labels, torch.device(device))  # type: ignore[arg-type]
    results = [
        search(
            model,  # type: ignore[arg-type]
            images,
            labels,
            np.arange(len(images)),
            *pool,
            method=method,
            settings=tries,
            repetitions=repetitions,
            seed=seed,
            batch_size=batch_size,
            logit_margin=logit_margin,
            device=torch.device(device),
        )
        for method, tries in settings.items()
    ]
    return closest_table(closest_of(results, list(settings)))


def _settings(attacks: Sequence[str] | Mapping[str, Sequence[Mapping]]) -> Mapping[str, Sequence[Mapping]]:
    """Return the settings of each method.

    Raises
    ------
    InputError
        If there is none, or they have another form.
    """
    if isinstance(attacks, str) or not len(attacks):
        raise InputError(f"attacks: found {attacks!r}; expected a list of methods, such as ['ddn'].")
    if not isinstance(attacks, Mapping):
        return {name: [{}] for name in attacks}
    for name, tries in attacks.items():
        listed = isinstance(tries, Sequence) and not isinstance(tries, str)
        if not (listed and all(isinstance(one, Mapping) for one in tries)):
            raise InputError(
                f"attacks: found {tries!r} for {name}; expected a list of settings, as [{{'steps': 50}}]."
            )
    return attacks


def _check_labels(model: nn.Module, images: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
    """Raise InputError if the model does not give each image as many logits as its labels need."""
    if not len(images):
        raise InputError("images: none; expected one or more.")
    with evaluation(model, device), torch.no_grad():
        logits = model(to_input(images[:1]).to(device))
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(f"model: returns {found} for one image; expected logits (1, classes).")
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise InputError(
            f"labels: {labels.min()} to {labels.max()}, but the model has {logits.shape[1]} logits; "
            f"expected labels from 0 to {logits.shape[1] - 1}."
        )
