"""Minimal adversarial distances of any model in one call, as a table."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from neuroreg.analysis.distances import closest_table
from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import closest_of
from neuroreg.robustness.attacks.registry import complete_setting
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
        Where Brendel & Bethge's attacks start: uint8 (P, H, W), gray levels 0..255, and int (P,), with images
        of other classes; the images themselves if not given.

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
    if (pool_images is None) != (pool_labels is None):
        raise InputError("pool: found images without labels, or labels without images; expected both.")
    images, labels = _labelled("images", images, labels)
    pool = (images, labels)
    if pool_images is not None and pool_labels is not None:
        pool = _labelled("pool", pool_images, pool_labels, images.shape[1:])
    settings = _settings(attacks)
    for name, count in {"repetitions": repetitions, "batch_size": batch_size}.items():
        if not isinstance(count, Integral) or count < 1:
            raise InputError(f"{name}: found {count!r}; expected a whole number, at least 1.")
    if logit_margin is not None and not 0 < logit_margin < np.inf:
        raise InputError(f"logit_margin: found {logit_margin!r}; expected a number above 0, or None.")
    if isinstance(model, str | Path):
        model = load_model(model)  # type: ignore[assignment]
    classes = _classes(model, images[:1], torch.device(device))  # type: ignore[arg-type]
    for name, own in {"labels": labels, "pool labels": pool[1]}.items():
        if not 0 <= own.min() <= own.max() < classes:
            raise InputError(
                f"{name}: {own.min()} to {own.max()}, but the model has {classes} logits; "
                f"expected labels from 0 to {classes - 1}."
            )
    results = [
        search(
            model,  # type: ignore[arg-type]
            images,
            labels,
            np.arange(len(images)),
            pool=pool,
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


def _labelled(
    name: str, images: np.ndarray, labels: np.ndarray, size: tuple[int, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return gray images and their labels, as int64.

    Raises
    ------
    InputError
        If they are not, if there are none, or if images are not of the given height and width.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    gray = images.ndim == 3 and images.dtype == np.uint8 and size in (None, images.shape[1:])
    if not (gray and labels.shape == images.shape[:1] and labels.dtype.kind in "iu"):
        expected = "height, width" if size is None else f"{size[0]}, {size[1]}"
        raise InputError(
            f"{name}: found {images.dtype} {images.shape} with labels {labels.dtype} {labels.shape}; "
            f"expected uint8 (images, {expected}), gray levels 0 to 255, and a label for each, whole numbers."
        )
    if not len(images):
        raise InputError(f"{name}: none; expected one or more.")
    return images, labels.astype(np.int64)


def _settings(attacks: Sequence[str] | Mapping[str, Sequence[Mapping]]) -> Mapping[str, Sequence[Mapping]]:
    """Return the settings of each method, complete.

    Raises
    ------
    InputError
        If there is none, they have another form, or a method or a setting will not do.
    """
    if isinstance(attacks, str) or not isinstance(attacks, Mapping | Sequence) or not len(attacks):
        raise InputError(f"attacks: found {attacks!r}; expected a list of methods, such as ['ddn'].")
    if not isinstance(attacks, Mapping):
        attacks = {name: [{}] for name in attacks}
    for name, tries in attacks.items():
        listed = isinstance(tries, Sequence) and not isinstance(tries, str) and len(tries)
        if not (listed and all(isinstance(one, Mapping) for one in tries)):
            raise InputError(
                f"attacks: found {tries!r} for {name}; expected a list of settings, as [{{'steps': 50}}]."
            )
    # All of them before the first search, which may take hours.
    return {name: [complete_setting(name, one) for one in tries] for name, tries in attacks.items()}


def _classes(model: nn.Module, image: np.ndarray, device: torch.device) -> int:
    """Return how many classes a model tells apart; InputError if it does not give an image logits."""
    with evaluation(model, device), torch.no_grad():
        logits = model(to_input(image).to(device))
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or logits.dtype != torch.float32:
        found = f"{tuple(logits.shape)} {logits.dtype}" if isinstance(logits, torch.Tensor) else None
        raise InputError(
            f"model: returns {found or type(logits).__name__} for one image; expected logits (1, classes), "
            "float32."
        )
    return logits.shape[1]
