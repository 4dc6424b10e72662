"""How loud a model's logits are, and a model whose logits are as loud as asked for.

Logits times a factor give the same classes and the same minimal perturbations, but not the same search: the
cross-entropy weighs other classes by their probabilities, and an attack that adds a loss to a distance weighs
the two by the loss's size.
"""

import logging

import numpy as np
import torch
from torch import Tensor, nn

from neuroreg.images.classification import stratified_sample
from neuroreg.robustness.evaluation import label_lead, predict, to_input
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)
# Enough for the mean, which decides nothing but a scale, to be known within some per cent.
IMAGES = 500


class Scaled(nn.Module):
    """`model` with its logits multiplied by `factor`."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor
        self.training = model.training  # not `train`, which would set the model's parts, too

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, classes) of inputs (B, 1, H, W)."""
        return self.factor * self.model(x)


def mean_margin(logits: Tensor, labels: Tensor) -> tuple[float, int]:
    """Return how far the label's logit is above the largest other one, the mean over correct images.

    Parameters
    ----------
    logits
        float (N, classes); rows with NaN or infinite ones do not count.
    labels
        int64 (N,).

    Returns
    -------
    tuple
        The mean, above 0, NaN if the model gets no image right; and over how many images.
    """
    margins = label_lead(logits, labels)
    margins = margins[torch.isfinite(logits).all(dim=1) & (margins > 0)].double()
    return float(margins.mean()), len(margins)


def logit_factor(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    margin: float,
    seed: int,
    batch_size: int,
    device: torch.device,
) -> float:
    """Return the factor that gives a model's logits a mean margin over correctly classified images.

    Parameters
    ----------
    model
        A classifier of inputs (B, 1, H, W) in [0, 1].
    images, labels
        uint8 (N, H, W) and int (N,), the test set, of which at most 500, evenly from the classes, are looked
        at.
    margin
        The mean asked for, above 0.
    seed
        Decides which images; no model takes part.
    batch_size, device
        See `predict`.

    Returns
    -------
    float
        Above 0; 1 if the model gets none of the images right.
    """
    labels = np.asarray(labels, dtype=np.int64)
    rng = np.random.default_rng(derive_seed(seed, "logit margin"))
    chosen = stratified_sample(labels, min(IMAGES, len(labels)), rng)
    logits = predict(model, to_input(images[chosen]), batch_size=batch_size, device=device, finite=False)
    found, correct = mean_margin(logits, torch.from_numpy(labels[chosen]))
    factor = margin / found if correct else 1.0
    logger.info(
        "logits times %.4g: the mean margin of the %d of %d images that the model gets right is %.4g",
        factor, correct, len(chosen), found,
    )  # fmt: skip
    return factor
