"""What decides a response model and its fit."""

from dataclasses import asdict, dataclass

from neuroreg.errors import InputError

ARCHITECTURE = (
    "channels",
    "input_kernel",
    "hidden_kernel",
    "spread",
    "shifter_hidden",
    "largest_shift",
    "modulator_hidden",
)


@dataclass(frozen=True)
class FitSettings:
    """Settings of the predictive model and its fit; each is a key of the configuration.

    Attributes
    ----------
    channels
        Channels of each of the core's three layers.
    input_kernel, hidden_kernel
        Kernel sizes of the first and the other layers, odd.
    spread
        Initial blur of the readout positions (2 = the image's width or height).
    shifter_hidden, largest_shift
        Hidden units of the shifter; bound of its shift (2 = the image's width or height).
    modulator_hidden
        Hidden units of the modulator.
    contexts
        Training states (behaviour, pupil) that pool predictions are averaged over.
    batch_size
        Trials a step.
    learning_rate
        Adam's, at the start.
    reductions
        How often the learning rate is multiplied by 0.3; each time training goes on from the best state.
    patience
        Epochs without a better validation correlation before a reduction, or the end.
    max_epochs
        Upper bound of epochs.
    laplace, core_l2, readout_l1, gain_l2
        Factors of the penalties: roughness of the first kernels, size of the others, feature weights, gains.
    """

    channels: int = 16
    input_kernel: int = 9
    hidden_kernel: int = 5
    spread: float = 0.1
    shifter_hidden: int = 5
    largest_shift: float = 0.5
    modulator_hidden: int = 8
    contexts: int = 32
    batch_size: int = 32
    learning_rate: float = 0.005
    reductions: int = 3
    patience: int = 5
    max_epochs: int = 200
    laplace: float = 0.01
    core_l2: float = 0.01
    readout_l1: float = 0.01
    gain_l2: float = 0.01

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            may_be_zero = name in ("reductions", "laplace", "core_l2", "readout_l1", "gain_l2")
            if not (value > 0 or (may_be_zero and value == 0)):
                expected = "at least 0" if may_be_zero else "above 0"
                raise InputError(f"response model: {name} is {value}; expected a number {expected}.")
            if name.endswith("kernel") and value % 2 == 0:
                raise InputError(f"response model: {name} is {value}; expected an odd size.")
