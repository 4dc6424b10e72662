"""Training a classifier whose layers share a target's similarity: L = L_task + alpha * L_similarity."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neuroreg.data.stimuli import Stimuli
from neuroreg.errors import InputError
from neuroreg.networks import ResNet
from neuroreg.resume import Progress, copied, load_progress, save_progress
from neuroreg.similarity import SimilarityMatrix
from neuroreg.training.run import SimilarityTarget, TrainingRun
from neuroreg.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def make_target(similarity: SimilarityMatrix, stimuli: Stimuli) -> SimilarityTarget:
    """Return the images of a similarity matrix beside it, matched by key.

    Raises
    ------
    InputError
        If a key of the matrix is not among the stimuli.
    """
    position = {key: index for index, key in enumerate(stimuli.key.tolist())}
    missing = [key for key in similarity.key.tolist() if key not in position]
    if missing:
        raise InputError(
            f"similarity: {len(missing)} of {len(similarity.key)} keys are not among the stimuli, "
            f"the first is '{missing[0]}'; expected the similarity of these stimuli."
        )
    order = [position[key] for key in similarity.key.tolist()]
    return SimilarityTarget(stimuli.images[order], similarity.matrix)


@dataclass(frozen=True)
class TrainedModel:
    """The kept state of a finished run.

    Attributes
    ----------
    model
        In eval mode, on the CPU, with the weights of the epoch of lowest validation loss.
    similarity
        State of the `SimilarityReadout` at that epoch.
    history
        One row per epoch; the columns are those of ``history.csv``.
    best_epoch
        Counted from 1.
    """

    model: ResNet
    similarity: dict[str, Tensor]
    history: list[dict[str, float]]
    best_epoch: int


def train(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    settings: TrainingSettings,
    seed: int,
    alpha: float = 0.0,
    target: SimilarityTarget | None = None,
    device: torch.device | str = "cpu",
    resume_path: Path | None = None,
    code: str = "",
) -> TrainedModel:
    """Train one classifier (Li et al. 2019, main text and supplement).

    Each step takes one batch of images and one batch of pairs of stimuli, in one summed loss. The images and
    the stimuli pass the network separately, so that batch norm normalises each set by its own statistics.
    Both halves of the pairs go together and share theirs; the public descendant of the authors' code
    normalises each half by itself. With alpha = 0 the stimuli are left out, which changes nothing in the
    loss.

    Parameters
    ----------
    images
        uint8 (N, 32, 32).
    labels
        int64 (N,), in [0, classes).
    classes
        Number of classes.
    settings
        The recipe.
    seed
        Decides weights, held-out images, order, augmentation and pairs.
    alpha
        Weight of the similarity loss, >= 0.
    target
        Needed if alpha > 0.
    device
        Where to compute.
    resume_path
        Where to keep the state after each epoch, and to go on from if it belongs to this very run.
    code
        What tells this version of the code from others; a run goes on only under the same.

    Raises
    ------
    InputError
        If there are fewer images than one batch or fewer stimuli than one batch of pairs needs, if a target
        is missing, or if the loss stops being finite.
    """
    run = TrainingRun(images, labels, classes, settings, seed, alpha, target, device, code)
    progress = load_progress(resume_path, run.fingerprint) if resume_path else None
    if progress:
        run.restore(progress)
        logger.info("going on after epoch %d of %d", len(progress.history), settings.epochs)
    else:
        progress = Progress()
    start, first = time.monotonic(), len(progress.history)
    for epoch in range(first, settings.epochs):
        row = run.epoch(epoch)
        progress.history.append(row)
        state = run.state()
        if progress.best < 0 or row["validation_loss"] < progress.history[progress.best]["validation_loss"]:
            progress.best = epoch
            progress.tensors["best_model"] = copied(state["model"])
            progress.tensors["best_similarity"] = copied(state["similarity"])
        progress.tensors |= state
        if resume_path:
            save_progress(resume_path, progress, run.fingerprint)
        left = (time.monotonic() - start) / (epoch + 1 - first) * (settings.epochs - epoch - 1)
        logger.info(_progress_line(row, settings.epochs, left))
    model = ResNet(settings.architecture, settings.width, classes)
    model.load_state_dict(progress.tensors["best_model"])
    best_similarity = progress.tensors["best_similarity"]
    return TrainedModel(model.eval(), best_similarity, progress.history, progress.best + 1)


def _progress_line(row: dict[str, float], epochs: int, seconds_left: float) -> str:
    gamma = " ".join(f"{value:.2f}" for name, value in row.items() if name.startswith("gamma_"))
    return (
        f"epoch {row['epoch']}/{epochs}: task loss {row['task_loss']:.3f}, "
        f"similarity loss {row['similarity_loss']:.3f} (r {row['similarity_correlation']:.2f}), "
        f"gamma {gamma}, validation loss {row['validation_loss']:.3f}, "
        f"accuracy {row['validation_accuracy']:.3f}, {seconds_left:.0f} s left"
    )
