"""What decides a response model and its fit."""

from typing import Annotated, Literal

from pydantic import Field

from neuroreg.settings import Count, NonNegative, Positive, Settings, Whole, WholeNumbers

ARCHITECTURE = (
    "channels",
    "input_kernel",
    "hidden_kernel",
    "spread",
    "shifter_hidden",
    "largest_shift",
    "modulator_hidden",
)


class FitSettings(Settings):
    """The predictive model of each scan and its fit."""

    channels: Count = 16
    """Channels of each of the core's three layers."""
    input_kernel: Annotated[Literal[3, 5, 7, 9, 11, 13, 15], WholeNumbers] = 9
    """Kernel size of the first layer, odd."""
    hidden_kernel: Annotated[Literal[1, 3, 5, 7, 9, 11, 13, 15], WholeNumbers] = 5
    """Kernel size of the other layers, odd."""
    spread: Annotated[float, Field(ge=1e-6, le=2)] = 0.1
    """Initial blur of the readout positions; 2 is the image's width or height."""
    shifter_hidden: Count = 5
    """Hidden units of the shifter (pupil position to shift of the readout)."""
    largest_shift: Annotated[float, Field(gt=0, le=2)] = 0.5
    """Bound of the shift; 2 is the image's width or height."""
    modulator_hidden: Count = 8
    """Hidden units of the modulator (behaviour to gain)."""
    contexts: Count = 32
    """Training states (behaviour, pupil) that predictions for the pool are averaged over."""
    batch_size: Count = 32
    """Trials in each step."""
    learning_rate: Positive = 0.005
    """Adam's, at the start."""
    reductions: Whole = 3
    """How often the learning rate is multiplied by 0.3 before the fit ends; each time it goes on from the
    best state."""
    patience: Count = 5
    """Epochs without a better validation correlation before a reduction, or the end."""
    max_epochs: Count = 200
    """Upper bound of epochs."""
    laplace: NonNegative = 0.01
    """Penalty on the roughness of the first layer's kernels."""
    core_l2: NonNegative = 0.01
    """Penalty on the size of the other kernels."""
    readout_l1: NonNegative = 0.01
    """Penalty on the readouts' feature weights."""
    gain_l2: NonNegative = 0.01
    """Penalty on the gains' deviation from 1."""
