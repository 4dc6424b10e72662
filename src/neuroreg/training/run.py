"""One training run: its data on the device, its network, and the steps that train it."""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neuroreg.devices import full_float32
from neuroreg.errors import InputError
from neuroreg.files.resume import Progress, ResumeFile, copied
from neuroreg.images.stimuli import Stimuli
from neuroreg.seeds import derive_seed
from neuroreg.similarity.matrix import SimilarityMatrix
from neuroreg.training.architectures import Network, build_network
from neuroreg.training.batches import draw_epoch
from neuroreg.training.descent import Descent
from neuroreg.training.objective import Objective, SimilarityReadout, compiled
from neuroreg.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SimilarityTarget:
    """What the layers shall share.

    Attributes
    ----------
    images
        Stimuli, uint8 (Q, H, W).
    matrix
        Similarity of each pair of stimuli, float32 (Q, Q), in [-1, 1].
    """

    images: np.ndarray
    matrix: np.ndarray


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

    model: Network
    similarity: dict[str, Tensor]
    history: list[dict[str, float]]
    best_epoch: int


@full_float32()
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
    resume: ResumeFile | None = None,
) -> TrainedModel:
    """Train one classifier (Li et al. 2019, main text and supplement).

    Each step takes one batch of images and one batch of pairs of stimuli, in one summed loss. The images and
    the stimuli pass the network separately, so that batch norm normalises each set by its own statistics.
    Both halves of the pairs go together and share theirs; the public descendant of the authors' code
    normalises each half by itself. With alpha = 0 the stimuli are left out, which changes nothing in the
    loss.

    On a CPU the same seed and number of threads give the same bytes, whether the run was killed and resumed
    or not. On a GPU they do in bfloat16, as far as was seen, and not in float32: cuDNN may sum a gradient in
    another order each time, and what is rounded otherwise grows while the learning rate is high. After 200
    steps at 0.1 two runs on an H200 (width 64, alpha 20, random images) differ by 42 % of the weights' norm
    and in 7 % of the classes. Another number of threads on a CPU rounds otherwise, too (width 8, 1,617
    digits, learning rate 0.05, alpha 2): losses that differ by 4e-7 of their size in the first step differ by
    2 % after the first epoch; after five epochs the weights differ by 19 % of their norm, validation
    accuracies not at all (170 of 180 right), gamma by at most 0.004.

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
    resume
        Where to keep the state after each epoch, and to go on from if it belongs to this very run.

    Raises
    ------
    InputError
        If there are fewer images than one batch or fewer stimuli than one batch of pairs needs, if a target
        is missing, or if the loss stops being finite.
    """
    run = TrainingRun(images, labels, classes, settings, seed, alpha, target, device)
    resume = resume or ResumeFile()
    target_arrays = [] if target is None else [target.images, target.matrix]
    decisive = [settings.model_dump(), seed, alpha, run.device.type]  # a GPU rounds otherwise
    progress = resume.load(decisive, [images, labels, *target_arrays])
    start, first = time.monotonic(), len(progress.history)
    if first:
        run.restore(progress)
        logger.info("going on after epoch %d of %d", first, settings.epochs)
    for epoch in range(first, settings.epochs):
        row = run.epoch(epoch)
        progress.history.append(row)
        state = run.state()
        if progress.best < 0 or row["validation_loss"] < progress.history[progress.best]["validation_loss"]:
            progress.best = epoch
            progress.tensors["best_model"] = copied(state["model"])
            progress.tensors["best_similarity"] = copied(state["similarity"])
        progress.tensors |= state
        resume.save(progress)
        left = (time.monotonic() - start) / (epoch + 1 - first) * (settings.epochs - epoch - 1)
        logger.info(_progress_line(row, settings.epochs, left))
    model = build_network(settings.architecture, settings.width, classes)
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


class TrainingRun:
    """Data, network and optimiser of one run; parameters and errors as in `train`.

    A step takes its random numbers from streams named by seed and epoch, so that a resumed run draws what an
    uninterrupted one would. Pairs have a stream of their own, so that models of one seed see the same crops
    whatever their alpha.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        classes: int,
        settings: TrainingSettings,
        seed: int,
        alpha: float,
        target: SimilarityTarget | None,
        device: torch.device | str,
    ) -> None:
        self.settings, self.seed, self.alpha, self.device = settings, seed, alpha, torch.device(device)
        if alpha > 0 and target is None:
            raise InputError(f"alpha is {alpha:g}, but there is no target; expected a target similarity.")
        self._split(self._on_device(images)[:, None], self._on_device(labels).long())
        self.stimuli = self.matrix = None
        if alpha > 0:
            needed = 2 * settings.pairs_per_step
            if len(target.images) < needed:
                raise InputError(
                    f"training.pairs_per_step: {settings.pairs_per_step} pairs need {needed} different "
                    f"stimuli, but the pool has {len(target.images)}; expected a larger pool or fewer pairs."
                )
            self.stimuli = self._on_device(target.images)[:, None]
            self.matrix = self._on_device(target.matrix).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            model = build_network(settings.architecture, settings.width, classes)
        # Channels-last is the faster layout of the convolutions on CPUs and GPUs alike.
        self.model = model.to(device, memory_format=torch.channels_last)
        self.readout = SimilarityReadout(model.layer_channels, settings.running_mean_decay).to(device)
        self.objective = Objective(
            self.model,
            self.readout,
            alpha=alpha,
            padding=settings.crop_padding,
            fisher_z=settings.fisher_z,
            bfloat16=settings.precision == "bfloat16",
            stimuli_in_batch_norm=settings.stimuli_in_batch_norm,
        )
        self.losses = compiled(self.objective, self.device) if settings.compile else self.objective
        self.descent = Descent(
            [*self.model.parameters(), *self.readout.parameters()],
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )

    def epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch, counted from 0, and return its row of the history."""
        rate = learning_rate(epoch, self.settings)
        losses, pairs = [], []
        for step, (loss, pair) in enumerate(self.steps(epoch)):
            losses.append(loss)
            pairs.append(pair)
            # Looked at rarely: each look waits for the device.
            if step % 50 == 0:
                self._check_finite(losses, epoch, rate)
        self._check_finite(losses, epoch, rate)
        total, task_mean, pair_mean = torch.stack(losses).mean(0).tolist()
        validation_loss, validation_accuracy = self._validate()
        if not math.isfinite(validation_loss):
            raise InputError(
                f"training diverged in epoch {epoch + 1}: validation loss {validation_loss:g}, "
                f"learning rate {rate:g}; expected a finite loss, "
                "try a smaller training.learning_rate or alpha."
            )
        gamma = self.readout.gamma.detach().cpu().tolist()
        return {
            "epoch": epoch + 1,
            "learning_rate": rate,
            "train_loss": total,
            "task_loss": task_mean,
            "similarity_loss": pair_mean if self.alpha > 0 else math.nan,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            "similarity_correlation": (
                torch.corrcoef(torch.cat(pairs, 1))[0, 1].item() if self.alpha > 0 else math.nan
            ),
            **{f"gamma_{name}": value for name, value in zip(self.model.layer_names, gamma, strict=True)},
        }

    def steps(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Train one epoch, a step at each turn.

        Yields
        ------
        losses : Tensor
            float32 (3,): their sum, task loss, similarity loss.
        pairs : Tensor
            float32 (2, pairs): the pairs' similarity in the network and in the target; none without a target.
        """
        rate = learning_rate(epoch, self.settings)
        self.objective.train()
        stimuli = len(self.stimuli) if self.alpha > 0 else 0
        draws = draw_epoch(
            len(self.images),
            self.settings.batch_size,
            self._generator("epoch", epoch),
            padding=self.settings.crop_padding,
            flip=self.settings.horizontal_flip,
            stimuli=stimuli,
            pairs=self.settings.pairs_per_step if stimuli else 0,
            pair_generator=self._generator("pairs", epoch),
        )
        for rows, offsets, mirrored, chosen in draws.to(self.device):
            if self.settings.compile:
                # For CUDA graphs, whose outputs the next step overwrites.
                torch.compiler.cudagraph_mark_step_begin()
            self.descent.forget_gradients()
            loss, task, pair_loss, pairs = self.losses(
                self.images[rows], self.labels[rows], offsets, mirrored, *self._pairs(chosen)
            )
            loss.backward()
            self.descent.step(rate)
            yield torch.stack([loss, task, pair_loss]).detach(), pairs.clone()

    def _generator(self, *names: str | int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.seed, *names))

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _split(self, images: Tensor, labels: Tensor) -> None:
        """Hold some images out for the validation."""
        size, batch = len(images), self.settings.batch_size
        held_out = max(1, round(self.settings.validation_fraction * size))
        if size - held_out < batch:
            raise InputError(
                f"training.batch_size: {batch} images in a batch, but only "
                f"{size - held_out} training images; expected at least one full batch."
            )
        order = torch.randperm(size, generator=self._generator("validation")).to(self.device)
        held, kept = order[:held_out], order[held_out:]
        self.images, self.labels = images[kept], labels[kept]
        self.held_images, self.held_labels = images[held], labels[held]

    def _pairs(self, chosen: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Return stimuli, uint8 (2B, 1, H, W), and each pair's target, (B,); nothing without a target."""
        if chosen is None:
            return None, None
        first, second = chosen.chunk(2)
        return self.stimuli[chosen], self.matrix[first, second]

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        self.model.eval()
        losses, correct = [], []
        for images, labels in zip(self.held_images.split(512), self.held_labels.split(512), strict=True):
            logits = self.model((images.float() / 255).contiguous(memory_format=torch.channels_last))
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            correct.append((logits.argmax(1) == labels).sum())
        count = len(self.held_labels)
        return sum(torch.stack(losses).tolist()) / count, sum(torch.stack(correct).tolist()) / count

    def _check_finite(self, losses: list[Tensor], epoch: int, rate: float) -> None:
        loss, task, pairs = losses[-1].tolist()
        if not math.isfinite(loss):
            raise InputError(
                f"training diverged in epoch {epoch + 1} by step {len(losses)}: task loss {task:g}, "
                f"alpha {self.alpha:g} x similarity loss {pairs:g}, learning rate {rate:g}; "
                "expected finite losses, try a smaller training.learning_rate or alpha."
            )

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return the groups of tensors from which the run can go on."""
        return {
            "model": self.model.state_dict(),
            "similarity": self.readout.state_dict(),
            "momentum": self.descent.state(),
        }

    def restore(self, progress: Progress) -> None:
        """Bring network, readout and descent back to where `progress` left them."""
        self.model.load_state_dict(progress.tensors["model"])
        self.readout.load_state_dict(progress.tensors["similarity"])
        self.descent.restore(progress.tensors.get("momentum", {}))


def learning_rate(epoch: int, settings: TrainingSettings) -> float:
    """Return the learning rate of an epoch, counted from 0.

    The 40 epochs of the public descendant of the authors' code are 2 cycles of 5 phases of 4 epochs. Other
    lengths are divided in proportion, first into cycles, then each cycle into phases, of which short ones
    lack some. Each phase's rate is the one before times `phase_factor`, and each cycle starts at
    `learning_rate` again.

    Examples
    --------
    >>> [round(learning_rate(epoch, TrainingSettings(epochs=40)), 4) for epoch in (0, 3, 4, 19, 20)]
    [0.1, 0.1, 0.03, 0.0008, 0.1]
    """
    cycle = epoch * settings.cycles // settings.epochs
    first, following = (-(-number * settings.epochs // settings.cycles) for number in (cycle, cycle + 1))
    phase = (epoch - first) * settings.phases // (following - first)
    return settings.learning_rate * settings.phase_factor**phase
