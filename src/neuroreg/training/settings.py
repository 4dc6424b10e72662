"""What decides a training run: the network, the recipe, the similarity it shares."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from neuroreg.declared import declared
from neuroreg.settings import Count, Entry, Label, NonNegative, Positive, Settings, problem, show

# Module and class of each network by its name: a module of this folder that has some says so by a literal
# ARCHITECTURES, {name: class}, and is imported where a network is built.
NETWORKS = {
    name: (module, kind)
    for module, table in declared(Path(__file__).parent, "ARCHITECTURES").items()
    for name, kind in table.items()
}
Decay = Annotated[float, Field(ge=0, lt=1)]


class NetworkSettings(Settings):
    """The classifier."""

    architecture: Literal[tuple(NETWORKS)] = "resnet18"
    """Sections of two blocks each, or of 3, 4, 6 and 3."""
    width: Count = 8
    """Channels of the first section (64 in the paper)."""


class RecipeSettings(Settings):
    """The recipe."""

    epochs: Count = 10
    """40 in the paper."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Images in each step."""
    pairs_per_step: Annotated[int, Field(ge=2)] = 8
    """Pairs of stimuli in each step (16 in the paper)."""
    learning_rate: Positive = 0.1
    """At the start of each cycle."""
    momentum: Decay = 0.9
    """Of SGD."""
    weight_decay: NonNegative = 0.0
    """Of SGD."""
    cycles: Count = 2
    """Times that the learning rate starts anew."""
    phases: Count = 5
    """Learning rates in each cycle."""
    phase_factor: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Ratio of one phase's learning rate to the one before."""
    crop_padding: Annotated[int, Field(ge=0, le=31)] = 4
    """Reflected pixels around an image before a random crop; 0 for no crop."""
    horizontal_flip: bool = False
    """Whether half of the images are mirrored (true in the public descendant of the authors' code)."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training images held out to choose the epoch that is kept, the one with the lowest task
    loss there (0.01 in the public descendant of the authors' code)."""
    fisher_z: Literal["formula", "log_ratio"] = "formula"
    """formula: the difference of arctanh, as in the paper's equation. log_ratio: twice that, as in the public
    descendant of the authors' code; its loss is four times as large, so that its alpha stands for four times
    the alpha of formula (docs/similarity.md)."""
    stimuli_in_batch_norm: bool = False
    """Whether stimuli, too, move batch norm's running averages, with which the trained network classifies.
    True in the public descendant of the authors' code; false where stimuli look unlike the classified
    images."""
    running_mean_decay: Decay = 0.9
    """Of the channel means that are subtracted before the cosine."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' forward pass; loss and optimiser are float32 always. On a GPU, too, float32 has all of
    its 23 bits of mantissa: TF32, which has 10, is off."""
    compile: bool = False
    """Whether torch.compile makes fewer, larger kernels of a step's forward and backward pass: C++ on a CPU,
    which needs a C++ compiler; CUDA graphs on a GPU, which too needs one. The first step then takes
    about a minute, less where torch finds what it compiled before. Results differ by rounding."""


class TrainingSettings(RecipeSettings, NetworkSettings):
    """Network and recipe of a run, the config's ``network`` and ``training`` together."""


SEED = "{seed}"
"""What stands for a run's seed in the path of a network that was trained elsewhere."""


class ModelEntry(Entry):
    """A model; it is trained once for each seed that a figure asks for, or was trained elsewhere."""

    label: Label = ""
    """What figures and Table 2 call the model, another for each of sweep.models and conditions.models, on one
    line; its name if not given. Any letters: of those that DejaVu Sans lacks, an installed font has to have
    them, else figures show their numbers."""
    target: str | None = None
    """A name from targets; null for the unregularised model. To be given unless path is."""
    alpha: NonNegative = Field(default=None)  # type: ignore[assignment]
    """Weight of the similarity loss; 0 exactly where target is null. To be given unless path is."""
    path: str | None = None
    """Instead of target and alpha, for conditions.models: the file of a network that was trained elsewhere,
    as neuroreg.export_model writes it (.pt2, docs/examples/own_model.md). {seed} in it stands for the seed;
    more than one seed needs it, since a network for each is compared."""

    @model_validator(mode="after")
    def _trained_here_or_elsewhere(self) -> "ModelEntry":
        trained = ("target", "alpha")
        for name in trained if self.path is not None else ():
            if name in self.model_fields_set:
                found = show(getattr(self, name))
                raise problem(f"found {found}; expected nothing beside a path.", name)
        for name in trained if self.path is None else ():
            if name not in self.model_fields_set:
                raise problem("missing; expected a value, or the path of a trained network.", name)
        if self.path is not None and not self.path.endswith(".pt2"):
            raise problem(f"found {show(self.path)}; expected a name that ends in .pt2.", "path")
        return self

    @model_validator(mode="after")
    def _target_where_alpha(self) -> "ModelEntry":
        if self.path is not None:
            return self
        if (self.target is None) != (self.alpha == 0):
            way = "; in YAML no target is null" if self.target in ("None", "none", "") else ""
            raise problem(
                f"target {show(self.target)} with alpha {self.alpha:g}; "
                f"expected a target exactly where alpha is above 0{way}."
            )
        return self
