"""What decides a training run, apart from its data, target, alpha and seed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe; defaults are the paper's (Li et al. 2019, main text and supplement).

    Attributes
    ----------
    architecture, width
        See `neuroreg.training.networks.ResNet`.
    epochs, batch_size, pairs_per_step
        Length of the training; classified images and pairs of stimuli in each step.
    learning_rate, momentum, weight_decay
        Of SGD.
    cycles, phases, phase_factor
        See `neuroreg.training.schedule.learning_rate`.
    crop_padding, horizontal_flip
        See `neuroreg.training.augment.augment`.
    validation_fraction
        Share of the training images held out; the epoch with the lowest task loss there is kept.
    fisher_z
        ``"formula"`` or ``"log_ratio"``, see `neuroreg.training.objective.fisher_z`.
    stimuli_in_batch_norm
        Whether stimuli, too, move the running averages of batch norm, with which a trained network
        classifies. In either case each batch is normalised by its own statistics during training.
    running_mean_decay
        See `neuroreg.training.objective.SimilarityReadout`.
    precision
        ``"float32"``, or ``"bfloat16"`` for autocast in the networks' forward pass; the objective, the
        optimiser's state and the validation stay float32.
    """

    architecture: str = "resnet18"
    width: int = 64
    epochs: int = 40
    batch_size: int = 64
    pairs_per_step: int = 16
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    cycles: int = 2
    phases: int = 5
    phase_factor: float = 0.3
    crop_padding: int = 4
    horizontal_flip: bool = True
    validation_fraction: float = 0.01
    fisher_z: str = "formula"
    stimuli_in_batch_norm: bool = True
    running_mean_decay: float = 0.9
    precision: str = "float32"
