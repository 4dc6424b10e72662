"""Where attacks that walk along the boundary begin: test images of other classes, another one each time."""

import logging

import numpy as np
import torch

from neuroreg.errors import InputError
from neuroreg.robustness.attacks.rows import adversarial_margin
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)


def choose_starting_points(
    logits: np.ndarray, pool_labels: np.ndarray, labels: np.ndarray, seeds: np.ndarray, repetition: int
) -> np.ndarray:
    """Return for each sample the pool image that its search starts from.

    Each sample has its own random order of the pool (the same for every model); repetition k starts at the
    k-th image of another class that the model also takes for another class, by more than 2e-5 of the
    largest logit: the margin that attacks keep.

    Parameters
    ----------
    logits
        float (P, classes) of the pool.
    pool_labels
        int (P,).
    labels
        int (S,), the samples' labels.
    seeds
        int (S,), one per sample.
    repetition
        From 0; begins anew when the images are used up.

    Returns
    -------
    ndarray
        int64 (S,), positions in the pool; -1 where no image will do.
    """
    pool, chosen = torch.from_numpy(logits), np.full(len(labels), -1, dtype=np.int64)
    taken_for_another = {
        label: (adversarial_margin(pool, torch.full((len(pool),), int(label))) > 0).numpy()
        for label in np.unique(labels)
    }
    for row, (label, seed) in enumerate(zip(labels, seeds, strict=True)):
        eligible = (pool_labels != label) & taken_for_another[label]
        order = np.random.default_rng(derive_seed(int(seed), "starting points")).permutation(len(pool_labels))
        order = order[eligible[order]]
        if len(order):
            chosen[row] = order[repetition % len(order)]
    return chosen


def require_starting_points(
    method: str, there: torch.Tensor, correct: torch.Tensor, sample: np.ndarray
) -> None:
    """Name in the log the samples that lack a starting point; their search fails and counts as failed.

    Parameters
    ----------
    method
        The attack, for the message.
    there
        bool (S,), whether the sample has one.
    correct
        bool (S,), whether it is attacked at all.
    sample
        int (S,), the samples' indices.

    Raises
    ------
    InputError
        If all samples that are attacked lack one.
    """
    missing = np.asarray(sample)[(correct & ~there).numpy()]
    if len(missing) == 0:
        return
    expected = "a test image of another class that the model, too, clearly takes for another class"
    if len(missing) == int(correct.sum()):
        raise InputError(
            f"attacks: no starting point for any of the {len(missing)} samples that {method} would attack; "
            f"expected {expected}."
        )
    logger.warning(
        "%s: %d of %d samples count as failed for want of a starting point, %s: %s",
        method,
        len(missing),
        correct.sum(),
        expected,
        ", ".join(map(str, missing)),
    )


def starting_points(
    pool: torch.Tensor,
    pool_logits: np.ndarray,
    pool_labels: np.ndarray,
    labels: torch.Tensor,
    seeds: torch.Tensor,
    repetition: int,
) -> torch.Tensor:
    """Return the images that the samples' searches start from, float32 (S, 1, H, W), NaN where none will do.

    Parameters
    ----------
    pool
        float32 (P, 1, H, W), of which `pool_logits` (P, classes) and `pool_labels` (P,).
    labels, seeds, repetition
        See `choose_starting_points`; int64 tensors (S,).
    """
    chosen = choose_starting_points(pool_logits, pool_labels, labels.numpy(), seeds.numpy(), repetition)
    starts = pool[np.maximum(chosen, 0)].clone()
    starts[chosen < 0] = torch.nan
    return starts
