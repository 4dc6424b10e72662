"""The predictive model of one scan: core, readout, shifter and modulator, with its input statistics."""

import torch
from torch import Generator, Tensor, nn

from neuroreg.response_model.core import Core
from neuroreg.response_model.modulator import Modulator
from neuroreg.response_model.readout import PointReadout
from neuroreg.response_model.shifter import Shifter, shift_map


class ResponseModel(nn.Module):
    """Predicts each neuron's response to an image, behaviour and pupil position (Li et al. 2019, main text).

    ``rate = scale * gain(behavior) * readout(core(image), position + shift(pupil))``. All statistics of the
    training trials are buffers, so that the weights' file answers for raw inputs by itself.

    Parameters
    ----------
    neurons, behaviors, contexts
        Number of neurons N, of behavioural variables K, and of stored training states to average over.
    channels, input_kernel, hidden_kernel, spread, shifter_hidden, largest_shift, modulator_hidden
        See `Core`, `PointReadout`, `Shifter` and `Modulator`.
    generator
        Draws the initial weights; a fixed one if none is given.
    """

    def __init__(
        self,
        neurons: int,
        behaviors: int,
        contexts: int,
        *,
        channels: int,
        input_kernel: int,
        hidden_kernel: int,
        spread: float,
        shifter_hidden: int,
        largest_shift: float,
        modulator_hidden: int,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.core = Core(channels, input_kernel, hidden_kernel, generator)
        self.readout = PointReadout(neurons, self.core.features, spread, generator)
        self.shifter = Shifter(shifter_hidden, largest_shift, generator)
        self.modulator = Modulator(behaviors, modulator_hidden, neurons, generator)
        for name, size in (("image", ()), ("behavior", (behaviors,)), ("pupil_center", (2,))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("response_std", torch.ones(neurons))
        self.register_buffer("context_behavior", torch.zeros(contexts, behaviors))
        self.register_buffer("context_pupil_center", torch.zeros(contexts, 2))

    def map(self, images: Tensor) -> Tensor:
        """Return the core's map of raw images (B, H, W), any dtype, 0 to 255."""
        return self.core((images[:, None].float() - self.image_mean) / self.image_std)

    def shift(self, pupil_center: Tensor) -> Tensor:
        """Return the readouts' shift (B, 2) at raw pupil positions (B, 2)."""
        return self.shifter((pupil_center - self.pupil_center_mean) / self.pupil_center_std)

    def gain(self, behavior: Tensor) -> Tensor:
        """Return the gain (B, N) at raw behaviour (B, K)."""
        return self.modulator((behavior - self.behavior_mean) / self.behavior_std)

    def forward(
        self, features: Tensor, behavior: Tensor, pupil_center: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Return expected responses in units of `response_std`.

        Parameters
        ----------
        features
            `map` of each trial's image, float (B, C, H', W').
        behavior, pupil_center
            Raw covariates, float (B, K) and (B, 2).
        noise
            See `PointReadout`.

        Returns
        -------
        Tensor
            Float (B, N), positive.
        """
        moved = shift_map(features, self.shift(pupil_center))
        return self.gain(behavior) * self.readout(moved, noise)
