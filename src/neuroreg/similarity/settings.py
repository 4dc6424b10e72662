"""Which similarities models can share, and how neurons are weighted in them."""

from typing import Annotated, Literal

from pydantic import Field

from neuroreg.settings import Distinct, Entry, Name, Settings


class ReliabilitySettings(Settings):
    """How neurons are weighted in the similarity."""

    units: Literal["std", "source"] = "std"
    """std: each neuron's responses are divided by their standard deviation before they are weighted, as the
    lab's own loaders do. source: they stay as the scan has them, so that bright neurons count more."""
    weight_exponent: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Each neuron is scaled by (w v) to this power, measured responses by w to it; 1 in the main text."""
    bias_correction: bool = False
    """Whether the signal variance in w is freed from the noise that is left in averages."""


class DenoisedTarget(Entry):
    """The similarity of predicted responses."""

    kind: Literal["denoised"]
    """Mean over scans of the similarity of predicted responses."""
    scans: Distinct[Name]
    """Names from scans."""


class RawTarget(Entry):
    """The similarity of measured responses."""

    kind: Literal["raw"]
    """Of responses as measured, one trial of each image, over the images of the pool that all these scans
    have measured."""
    scans: Distinct[Name]
    """Names from scans."""


class FeaturesTarget(Entry):
    """The similarity of a network's features."""

    kind: Literal["features"]
    """Similarity of VGG19 conv3-1 features of the pool."""
    weights: str | None = None
    """A file of VGG19's weights as torchvision names them, .pth or .safetensors; null or not given:
    torchvision's, trained on ImageNet, downloaded and checked."""


class GivenTarget(Entry):
    """A similarity that you bring."""

    kind: Literal["given"]
    """A similarity matrix of images of the pool that you have computed (docs/examples/own_condition.md)."""
    path: str
    """A file of kind similarity, as neuroreg.write_record writes it."""


class ShuffledTarget(Entry):
    """Another target's similarity, shuffled."""

    kind: Literal["shuffled"]
    """Another target with the identities of its images permuted."""
    of: Name
    """The name of the other target."""
    permutation: Literal["per_seed", "one"] = "per_seed"
    """per_seed: each training seed has a permutation of its own, so that the spread over seeds holds that of
    shuffles as well. one: all models share one."""


TargetEntry = Annotated[
    DenoisedTarget | RawTarget | FeaturesTarget | GivenTarget | ShuffledTarget, Field(discriminator="kind")
]
