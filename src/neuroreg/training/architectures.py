"""What every network offers, and how one is built by its name (`neuroreg.training.settings.NETWORKS`)."""

from importlib import import_module
from typing import Protocol, runtime_checkable

from torch import Tensor

from neuroreg.errors import InputError
from neuroreg.training.settings import NETWORKS


@runtime_checkable
class Network(Protocol):
    """What a classifier that is trained here offers besides being a `torch.nn.Module`.

    Attributes
    ----------
    architecture, width, classes
        What it was built with.
    class_names
        What each output stands for; empty if that is not known.
    layer_names
        Numbers of the regularised layers, ascending; columns and tables are named after them.
    layer_channels
        Channels of each of these.
    """

    architecture: str
    width: int
    classes: int
    class_names: tuple[str, ...]

    @property
    def layer_names(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def layer_channels(self) -> tuple[int, ...]: ...  # noqa: D102

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the regularised layers' outputs, (B, C_k, H_k, W_k), of images in [0, 1], (B, 1, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) of gray images in [0, 1], (B, 1, 32, 32)."""


def build_network(architecture: str, width: int, classes: int) -> Network:
    """Return an untrained network, in training mode.

    Parameters
    ----------
    architecture
        A name from `NETWORKS`.
    width
        Channels of its first layer or section.
    classes
        Number of outputs.

    Raises
    ------
    InputError
        If there is no such architecture, or its module lacks the class that it names.
    """
    if architecture not in NETWORKS:
        raise InputError(f"architecture: '{architecture}'; expected one of {', '.join(NETWORKS)}.")
    module, kind = NETWORKS[architecture]
    build = getattr(import_module(f"neuroreg.training.{module}"), str(kind), None)
    if not callable(build):
        raise InputError(f"architecture: {module}.py has no class '{kind}', which its ARCHITECTURES names.")
    return build(architecture, width, classes)
