"""Which models, seeds and attacks the figures ask for."""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from neuroreg.similarity.settings import ShuffledTarget
from neuroreg.training.settings import SEED


class Run(NamedTuple):
    """One trained model: its name in the config and its seed."""

    model: str
    seed: int


class Labels(dict):
    """What figures call models, by their names.

    As a text it holds no ``<``: Snakemake puts the params of a job into a script of its report.
    """

    def __repr__(self) -> str:
        return super().__repr__().replace("<", "\\x3c")


def grid_runs(section: Mapping) -> list[Run]:
    """Return the runs of a section of the config with the keys ``models`` and ``seeds``."""
    return [Run(model, seed) for model, seed in product(section["models"], section["seeds"])]


def by_name(entries: list[Mapping], name: str) -> Mapping:
    """Return the entry of a list of the config that has the given name."""
    return next(entry for entry in entries if entry["name"] == name)


def entry_names(entries: list[Mapping]) -> list[str]:
    """Return the names of the entries of a list of the config."""
    return [entry["name"] for entry in entries]


def condition_models(config: Mapping) -> dict[str, str]:
    """Return the names of the models that are the paper's conditions None, Shuffle and Neural.

    A model's target decides: none; a shuffled one; a denoised one. Of several in ``conditions.models`` the
    first is it; a condition without a model is left out. Networks that were trained elsewhere are no
    condition of the paper's.
    """
    kinds = {None: "None", "shuffled": "Shuffle", "denoised": "Neural"}
    found = {}
    for name in config["conditions"]["models"]:
        entry = by_name(config["models"], name)
        if trained_elsewhere(entry):
            continue
        target = entry["target"]
        kind = None if target is None else by_name(config["targets"], target)["kind"]
        if kind in kinds:
            found.setdefault(kinds[kind], name)
    return found


def conditions_note(config: Mapping) -> str:
    """Return what each of the conditions is, by its model's name, in a sentence of reStructuredText."""
    return (
        "; ".join(f"``{name}``: {_condition(config, name)}" for name in config["conditions"]["models"]) + "."
    )


def _condition(config: Mapping, name: str) -> str:
    entry = by_name(config["models"], name)
    if trained_elsewhere(entry):
        return "trained elsewhere"
    if entry["target"] is None:
        return "trained without a similarity to share"
    return f"alpha {entry['alpha']:g}, {_target(by_name(config['targets'], entry['target']), config)}"


def _target(entry: Mapping, config: Mapping) -> str:
    scans = f"{len(entry['scans'])} scan{'s' * (len(entry['scans']) > 1)}" if "scans" in entry else ""
    match entry["kind"]:
        case "denoised":
            return f"the similarity of {scans}, denoised"
        case "raw":
            return f"the similarity of {scans} as measured in single trials"
        case "features":
            return "the similarity in VGG19"
        case "given":
            return "a similarity brought along"
    return f"{_target(by_name(config['targets'], entry['of']), config)}, of shuffled images"


def trained_elsewhere(entry: Mapping) -> bool:
    """Say whether an entry of ``models`` names networks that are not trained here."""
    return entry.get("path") is not None


def network_file(entry: Mapping, seed: int | str) -> str | None:
    """Return the user's file of a seed's network that was trained elsewhere, None of one trained here."""
    return entry["path"].replace(SEED, str(seed)) if trained_elsewhere(entry) else None


def model_file(models: list[Mapping], model: str, seed: int | str) -> str:
    """Return the path of a run's classifier, below the working directory.

    Parameters
    ----------
    models
        The config's.
    model
        Name of one of them.
    seed
        Of the run.
    """
    suffix = "pt2" if trained_elsewhere(by_name(models, model)) else "safetensors"
    return f"results/models/{model}/seed{seed}/model.{suffix}"


def target_file(targets: list[Mapping], target: str, seed: int | str) -> str:
    """Return the path of the similarity that models of a training seed share, below the working directory.

    Parameters
    ----------
    targets
        The config's.
    target
        Name of one of them.
    seed
        Of the training: a shuffled target may have a file for each.
    """
    entry = by_name(targets, target)
    default = ShuffledTarget.model_fields["permutation"].default
    own = entry["kind"] == "shuffled" and entry.get("permutation", default) == "per_seed"
    return f"results/similarity/{target}{f'/seed{seed}' if own else ''}.h5"


def simulation_note(scans: list[Mapping]) -> str:
    """Return what figures must say of simulated scans, an empty text if all scans are recorded."""
    simulated = sum(scan["source"] == "simulated" for scan in scans)
    if simulated == len(scans):
        return "Simulated scans: no neural recording was used."
    return f"Partly simulated scans: {simulated} of {len(scans)}." if simulated else ""
