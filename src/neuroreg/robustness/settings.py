"""How the classifiers are tested: noise and attacks."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from neuroreg.errors import InputError
from neuroreg.robustness.attacks.registry import ATTACK_METHODS, complete_setting
from neuroreg.settings import Count, Distinct, Entry, NonNegative, Positive, Settings, problem, show

_SIGMAS = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2]


def _no_switch(clip: object) -> object:
    if isinstance(clip, bool):
        found, was = str(clip).lower(), "unit" if clip else "none"
        raise problem(f'found {found}; expected one of "none", "unit", "image" ({found} was "{was}").')
    return clip


def _auto_or_count(rows: object) -> object:
    if rows == "auto" or (isinstance(rows, int) and not isinstance(rows, bool) and rows >= 1):
        return rows
    raise problem(f"found {show(rows)}; expected a whole number, at least 1, or auto.")


class NoiseSettings(Settings):
    """Accuracy under Gaussian noise on the test images."""

    sigmas: Distinct[NonNegative] = _SIGMAS
    """Standard deviations, for images in [0, 1]."""
    draws: Count = 1
    """Noise patterns for each image, the same for every model."""
    clip: Annotated[Literal["none", "unit", "image"], BeforeValidator(_no_switch)] = "none"
    """What noisy pixels are clipped to. none: not at all. unit: [0, 1]. image: the range of the clean image's
    own pixels, as in the public descendant of the authors' code."""


def _settings_by_method(schema: dict) -> None:
    """Say in a JSON Schema which settings each method has; `complete_setting` checks them."""
    groups: list[tuple[list[str], dict]] = []
    for name, method in ATTACK_METHODS.items():
        settings = {
            key: {
                "description": setting.meaning,
                "type": "integer" if isinstance(setting.default, int) else "number",
                "minimum": setting.low,
                "maximum": setting.high,
                "default": setting.default,
            }
            for key, setting in method.settings.items()
        }
        names = next((names for names, others in groups if others == settings), None)
        if names is None:
            groups.append(([name], settings))
        else:
            names.append(name)
    schema["allOf"] = [
        {
            "if": {"properties": {"method": {"enum": names}}},
            "then": {
                "properties": {"settings": {"items": {"additionalProperties": False, "properties": settings}}}
            },
        }
        for names, settings in groups
    ]


class AttackEntry(Entry):
    """An attack and its settings."""

    model_config = ConfigDict(json_schema_extra=_settings_by_method)

    method: Literal[tuple(ATTACK_METHODS)]
    """docs/attacks.md says what each is and which norm it minimises; foolbox_ and a name is Foolbox's own
    code, where it has the attack."""
    settings: Annotated[list[dict[str, Any]], Field(min_length=1)]
    """Hyperparameter settings, each tried in every repetition. Keys that a setting leaves out have the
    method's default; docs/attacks.md lists them. The first is always among those that results/settings.csv
    keeps by trim_tolerance."""

    @model_validator(mode="after")
    def _settings_of_the_method(self) -> "AttackEntry":
        complete: list[dict] = []
        for position, setting in enumerate(self.settings):
            try:
                filled = complete_setting(self.method, setting)
            except InputError as error:
                raise problem(str(error), "settings", position) from error
            if filled in complete:
                same = f"the same as settings[{complete.index(filled)}], with the method's defaults"
                raise problem(f"{same}; expected another setting.", "settings", position)
            complete.append(filled)
        return self


def _attack(method: str, *settings: Mapping[str, float]) -> AttackEntry:
    return AttackEntry(name=method, method=method, settings=list(settings))


_ATTACKS = [
    _attack("pgd", {"steps": 10, "search_steps": 10, "rel_stepsize": 0.25}),
    _attack("adam_pgd", {"steps": 10, "search_steps": 10, "rel_stepsize": 0.25}),
    _attack(
        "carlini_wagner", {"steps": 50, "binary_search_steps": 4, "initial_const": 1.0, "stepsize": 0.05}
    ),
    _attack("ddn", {"steps": 50, "gamma": 0.1}, {"steps": 50, "gamma": 0.05}),
    _attack("jsma", {"theta": 1.0, "targets": 9}),
    _attack("sparsefool", {"lambda": 1.0}),
    *[_attack(f"brendel_bethge_{norm}", {"steps": 100}) for norm in ("l0", "l1", "l2", "linf")],
]


class AdversarialSettings(Settings):
    """The search for the smallest adversarial perturbations."""

    samples: Count = 28
    """Attacked test images (1,000 in the paper), evenly from the classes, the same for every model."""
    repetitions: Count = 1
    """Runs of each setting, with different random starts (5 in the paper)."""
    batch_size: Annotated[Count | Literal["auto"], BeforeValidator(_auto_or_count)] = "auto"
    """Rows (sample, repetition and setting) attacked at a time; changes what is found by rounding only. auto:
    64 on the CPU, on a GPU as many as a quarter of its free memory holds, at most samples times
    repetitions."""
    logit_margin: Annotated[float, Field(gt=0, le=1000)] | None = 4.0
    """Attacks see each model's logits times one factor, with which the label's is ahead of the largest other
    one by this on average, over correctly classified test images (500 at most). Classes and smallest
    perturbations are the same, but some attacks find less the quieter logits are, or the louder. null: logits
    as they are, as in the paper."""
    parts: Count = 1
    """Jobs that each search is split into, by samples. With more than one, all passes on a CPU are of one
    size, the last ones filled up, so that their number changes nothing there."""
    together: bool = True
    """Whether one job runs all attacks on a model, one after the other, and so starts but once; false: a job
    for each attack, which can run at the same time. With parts above 1 each attack has jobs of its own."""
    trim_tolerance: NonNegative = 0.01
    """For results/settings.csv, which marks a smaller list of settings: by how much it may raise any model's
    mean minimal distance under any norm, relative to all settings. The first setting of each attack is always
    on it."""
    trim_passes: Positive | None = None
    """The passes, forward and backward, that this list may take for an image and repetition, instead: of all
    such lists with two settings of each attack or more the one whose mean minimal distances are nearest those
    of all settings, as far as exchanging one setting at a time leads (docs/attacks.md). Whether it is enough
    for two settings of each shows when all searches have ended; another value then repeats none of them.
    null: as trim_tolerance says."""
    attacks: Annotated[list[AttackEntry], Field(min_length=1)] = _ATTACKS
    """The attacks; a sample's distance is the smallest over all of them."""
    tightening: list[AttackEntry] = Field(default_factory=list)
    """Further attacks, of the same form, that show how far the paper's set was from the smallest distance
    known. They have columns of their own in results/distances.csv and a figure of their own,
    results/tightening.pdf; no other figure, table or claim looks at them. configs/tightening.yaml lists
    some."""
