"""The whole config: what the rooms' settings make together, and checks of what crosses them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from unicodedata import normalize

from pydantic import Field

from neuroreg.errors import InputError
from neuroreg.files.markup import one_line
from neuroreg.images.settings import SHOWN, ClassificationSettings, StimuliSettings
from neuroreg.response_model.settings import FitSettings
from neuroreg.robustness.settings import AdversarialSettings, NoiseSettings
from neuroreg.scans.settings import (
    DownloadedScan,
    DownloadsSettings,
    NeuronsSettings,
    ScanEntry,
    SimulatedScan,
)
from neuroreg.settings import Count, Distinct, Name, Seed, Settings, Whole, dotted, validate
from neuroreg.similarity.settings import DenoisedTarget, ReliabilitySettings, ShuffledTarget, TargetEntry
from neuroreg.simulator.settings import FEWEST_OF_TIER, FEWEST_POOL, SimulatorSettings
from neuroreg.training.settings import SEED, ModelEntry, NetworkSettings, RecipeSettings
from neuroreg.workflow.inputs import Brought, brought
from neuroreg.workflow.yaml_checks import check_types


class RunsSettings(Settings):
    """Which models a figure shows."""

    models: Distinct[Name]
    """Names from models, in the order in which they are drawn."""
    seeds: Distinct[Seed]
    """Each model is trained once for each seed. One gives no interval, two decide large effects only
    (docs/intervals.md)."""


class ClusterSettings(Settings):
    """Limits of what jobs ask of a cluster; nothing that decides a result."""

    max_minutes: Count | None = None
    """Most minutes, e.g. the time limit of the partition; null for what the job's size may need. Fits,
    trainings and searches that are killed when their time is over go on at the next try."""
    max_megabytes: Count | None = None
    """Most megabytes of memory, e.g. what a node has; null for no limit."""


_DEVICES = [0]
_SCANS = [SimulatedScan(name=f"simulated{n}", source="simulated", n_neurons=150) for n in (1, 2, 3)]
_TARGETS = [
    DenoisedTarget(name="neural", kind="denoised", scans=[scan.name for scan in _SCANS]),
    DenoisedTarget(name="neural_one_scan", kind="denoised", scans=["simulated1"]),
    ShuffledTarget(name="shuffle", kind="shuffled", of="neural"),
]
_ONE_SCAN = [
    ModelEntry(
        name=f"one_scan_a{alpha}", label=f"One scan, alpha {alpha}", target="neural_one_scan", alpha=alpha
    )
    for alpha in (2, 8, 32)
]
_CONDITIONS = [
    ModelEntry(name="none", label="None", target=None, alpha=0),
    ModelEntry(name="shuffle", label="Shuffle", target="shuffle", alpha=20),
    ModelEntry(name="neural", label="Neural", target="neural", alpha=20),
]
_MODELS = [*_CONDITIONS, *_ONE_SCAN]


class Config(Settings):
    """Config of the neuroreg workflow.

    Every key of config.yaml, what it means and its default. Keys that are not listed here are refused.
    """

    seed: Seed = 1911
    """Decides everything random but the training: stimuli, simulated scans, response models, noise, attacked
    samples and attacks. Training has seeds of its own (sweep.seeds, conditions.seeds)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks are fitted and attacked. With cuda, jobs ask for one gpu each."""
    devices: Distinct[Whole] = _DEVICES
    """Numbers of this machine's GPUs that jobs share among them; as many jobs use them at a time as the
    resource gpu allows, which is 1 unless raised: with [0, 1], --resources gpu=2. On a cluster, which gives
    each job its own, 0 alone."""
    classification: ClassificationSettings = ClassificationSettings()
    """The images that are classified, always gray, 32x32, in [0, 1]."""
    stimuli: StimuliSettings = StimuliSettings()
    """The images whose similarity is shared, 36x64 gray."""
    scans: Annotated[list[ScanEntry], Field(min_length=1)] = _SCANS
    """The scans; eight in the paper's main results."""
    downloads: DownloadsSettings = DownloadsSettings()
    """Scans from the network."""
    missing: Literal["refuse", "drop_trials", "drop_neurons"] = "refuse"
    """What becomes of NaN in a scan's responses, behavior or pupil position. refuse: the scan is refused.
    drop_trials: trials with one are left out. drop_neurons: trials without behavior or pupil position are
    left out, and neurons that lack a response in any other trial. The scan's summary counts what was."""
    simulator: SimulatorSettings = SimulatorSettings()
    """What simulated scans have in common."""
    neurons: NeuronsSettings = NeuronsSettings()
    """Which neurons of every scan are used; null for all."""
    response_model: FitSettings = FitSettings()
    """The predictive model of each scan and its fit."""
    reliability: ReliabilitySettings = ReliabilitySettings()
    """How neurons are weighted in the similarity."""
    targets: Annotated[list[TargetEntry], Field(min_length=1)] = _TARGETS
    """The similarity matrices that models can share."""
    network: NetworkSettings = NetworkSettings()
    """The classifier."""
    training: RecipeSettings = RecipeSettings()
    """The recipe."""
    models: Annotated[list[ModelEntry], Field(min_length=1)] = _MODELS
    """The models; one is trained for each seed that a figure asks for."""
    sweep: RunsSettings = RunsSettings(models=["none", *[model.name for model in _ONE_SCAN]], seeds=[1, 2, 3])
    """The runs of Fig. 1 and Table 1, one model for each alpha."""
    conditions: RunsSettings = RunsSettings(models=[model.name for model in _CONDITIONS], seeds=[1, 2, 3])
    """The runs of Fig. 2, Table 2 and the noise figure."""
    noise: NoiseSettings = NoiseSettings()
    """Accuracy under Gaussian noise on the test images."""
    adversarial: AdversarialSettings = AdversarialSettings()
    """The search for the smallest adversarial perturbations."""
    cluster: ClusterSettings = ClusterSettings()
    """What jobs may ask of a cluster at most."""


def validate_config(config: Mapping) -> Config:
    """Check a merged config: each key by itself, all keys there, the names in it against each other.

    Raises
    ------
    InputError
        With one sentence for the first problem: the key, what was found, what was expected.
    """
    check_types(config)
    checked = validate(Config, config, "config key")
    for path in _left_out(checked):
        raise InputError(f"config key '{dotted(path)}': missing; expected a value.")
    for check in _CHECKS:
        for key, sentence in check(checked):
            raise InputError(f"config key '{key}': {sentence}")
    return checked


def _left_out(section: Settings, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the sections' keys that were not given; only entries of lists may lack some."""
    for name in type(section).model_fields:
        if name not in section.model_fields_set:
            yield (*path, name)
        elif isinstance(value := getattr(section, name), Settings):
            yield from _left_out(value, (*path, name))


Problems = Iterator[tuple[str, str]]


def _names(config: Config) -> Problems:
    lists = {
        "scans": config.scans,
        "targets": config.targets,
        "models": config.models,
        "adversarial.attacks": config.adversarial.attacks,
        "adversarial.tightening": config.adversarial.tightening,
    }
    for key, entries in lists.items():
        for name, count in Counter(entry.name for entry in entries).items():
            if count > 1:
                yield key, f"{count} entries are named '{name}'; expected different names."
        yield from _alike(key, [entry.name for entry in entries])
    # Attacks of both lists are files in one folder.
    attacks = [*lists["adversarial.attacks"], *lists["adversarial.tightening"]]
    yield from _alike("adversarial.tightening", [entry.name for entry in attacks])
    papers = {attack.name for attack in config.adversarial.attacks}
    for attack in config.adversarial.tightening:
        if attack.name in papers:
            yield (
                "adversarial.tightening",
                f"'{attack.name}' is the name of an entry of adversarial.attacks; expected another name.",
            )


def _alike(key: str, names: list[str]) -> Problems:
    """Yield names that some file systems, as macOS and Windows have them, take for one another."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            yield key, f"'{other}' and '{name}' differ by capital letters only; expected different names."


def _download_files(config: Config) -> Problems:
    kept: dict[str, int] = {}
    for index, scan in enumerate(config.scans):
        if isinstance(scan, DownloadedScan):
            name = scan.kept_as
            if (other := kept.setdefault(name.casefold(), index)) != index:
                sentence = f"'{name}' is the file of scans[{other}] as well; expected another name."
                yield f"scans[{index}].file", sentence


def _stimuli(config: Config) -> Problems:
    stimuli = config.stimuli
    scans = [scan.name for scan in config.scans]
    yield from _unknown("stimuli.scan", [stimuli.scan] if stimuli.scan else [], scans, "scans")
    if stimuli.source in SHOWN:
        for index, scan in enumerate(config.scans):
            if isinstance(scan, SimulatedScan):
                yield (
                    f"scans[{index}].source",
                    f"a scan can't be simulated where stimuli.source is '{stimuli.source}'; "
                    "expected a recorded scan.",
                )
    pairs = config.training.pairs_per_step
    needs = {2 * pairs: f"two for each of training.pairs_per_step {pairs}"}
    if any(isinstance(scan, SimulatedScan) for scan in config.scans):
        needs[FEWEST_POOL] = f"{FEWEST_OF_TIER} of them in the validation tier of simulated scans"
    fewest = max(needs)
    if stimuli.pool_size is not None and stimuli.pool_size < fewest:
        yield "stimuli.pool_size", f"found {stimuli.pool_size}; expected at least {fewest}, {needs[fewest]}."


def _targets(config: Config) -> Problems:
    scans = [scan.name for scan in config.scans]
    others = [target.name for target in config.targets if not isinstance(target, ShuffledTarget)]
    for index, target in enumerate(config.targets):
        yield from _unknown(f"targets[{index}].scans", getattr(target, "scans", []), scans, "scans")
        if isinstance(target, ShuffledTarget):
            yield from _unknown(f"targets[{index}].of", [target.of], others, "unshuffled targets")
    if not any(isinstance(target, DenoisedTarget) for target in config.targets):
        yield "targets", "none is of kind 'denoised'; expected at least one."


def _models(config: Config) -> Problems:
    targets = [None, *(target.name for target in config.targets)]
    for index, model in enumerate(config.models):
        yield from _unknown(f"models[{index}].target", [model.target], targets, "targets")
        several = model.name in config.conditions.models and len(config.conditions.seeds) > 1
        if model.path is not None and several and SEED not in model.path:
            yield (
                f"models[{index}].path",
                f"found '{model.path}' for {len(config.conditions.seeds)} seeds; expected {SEED} in it, "
                "since each seed has a network of its own.",
            )
    alphas = {model.name: model.alpha for model in config.models}
    for key, section in (("sweep", config.sweep), ("conditions", config.conditions)):
        yield from _unknown(f"{key}.models", section.models, alphas, "models")
    elsewhere = [model.name for model in config.models if model.path is not None]
    for name in set(config.sweep.models) & set(elsewhere):
        sentence = f"'{name}' has a path; expected models with an alpha, which Fig. 1 and Table 1 compare."
        yield "sweep.models", sentence
    yield from _labels(config)
    for alpha, count in Counter(alphas.get(name) for name in config.sweep.models).items():
        if count > 1:
            yield (
                "sweep.models",
                f"{count} models have alpha {alpha:g}; expected one for each alpha of Fig. 1 and Table 1.",
            )
    shared = {model.target for model in config.models if model.name in config.sweep.models} - {None}
    if len(shared) > 1:
        names = " and ".join(f"'{name}'" for name in sorted(map(str, shared)))
        yield (
            "sweep.models",
            f"they share {names}; expected one target, of which Fig. 1 and Table 1 compare alphas.",
        )


def _labels(config: Config) -> Problems:
    """Yield labels that two models of a figure share, as far as readers can see."""
    called: dict[str, str] = {}
    drawn = {*config.sweep.models, *config.conditions.models}
    for index, model in enumerate(config.models):
        if model.name in drawn:
            label = normalize("NFC", one_line(model.label or model.name))
            if (other := called.setdefault(label, model.name)) != model.name:
                yield (
                    f"models[{index}].label",
                    f"'{label}' is what figures call the model '{other}'; expected another label for "
                    f"'{model.name}'.",
                )


def _samples(config: Config) -> Problems:
    test_size, samples = config.classification.test_size, config.adversarial.samples
    if test_size is not None and samples > test_size:
        sentence = f"found {samples}; expected at most classification.test_size, {test_size}."
        yield "adversarial.samples", sentence
    if (parts := config.adversarial.parts) > samples:
        yield "adversarial.parts", f"found {parts}; expected at most adversarial.samples, {samples}."


def _unknown(key: str, names: Iterable, known: Iterable, what: str) -> Problems:
    known = list(known)
    for name in names:
        if name not in known:
            listed = ", ".join(option for option in known if option is not None)
            # Names of one line as they are.
            shown = f"'{name}'" if str(name).isprintable() else repr(name)
            yield key, f"{shown} is not among the {what}; expected one of: {listed}."


_CHECKS = (_names, _download_files, _stimuli, _targets, _models, _samples)


def check_files(config: Mapping) -> None:
    """Check that the files and folders that a valid config names are there and may be read.

    Raises
    ------
    InputError
        With one sentence for the first that is not.
    """
    for found in brought(config):
        _expect(found)


def _expect(found: Brought) -> None:
    key, path, what, form = found
    place = Path(path)
    if Path("results/models").resolve() in place.resolve().parents:
        raise InputError(f"config key '{key}': '{path}' is where results go; expected {what} elsewhere.")
    there = {"file": place.is_file, "folder": place.is_dir, "file or folder": place.exists}[form]()
    if not there:
        raise InputError(f"config key '{key}': no {form} '{path}'; expected {what}.")
    rights = os.R_OK | (os.X_OK if place.is_dir() else 0)
    if not os.access(place, rights, effective_ids=os.access in os.supports_effective_ids):
        raise InputError(f"config key '{key}': no permission to read '{path}'; expected {what}.")
