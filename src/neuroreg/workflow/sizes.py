"""A run's config beside configs/paper.yaml: its sizes, and whatever else differs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from snakemake.utils import update_config

from neuroreg.images.settings import SHOWN
from neuroreg.workflow.grid import by_name, trained_elsewhere


def _from(*keys: str) -> Callable[[Mapping], Any]:
    """Return what looks a key of the config up."""

    def look_up(config: Mapping) -> Any:
        for key in keys:
            config = config[key]
        return config

    return look_up


def _largest_target(config: Mapping) -> int:
    return max(len(target["scans"]) for target in config["targets"] if target["kind"] == "denoised")


def _neurons(config: Mapping) -> list[int]:
    return sorted({scan["n_neurons"] for scan in config["scans"] if scan["source"] == "simulated"})


def _shown_repeatedly(config: Mapping) -> int | str:
    return "as in the scans" if config["stimuli"]["source"] in SHOWN else config["stimuli"]["oracle_size"]


def _repeats(config: Mapping) -> int | str:
    return config["simulator"]["oracle_repeats"] if _neurons(config) else "as in the scans"


def _alphas(section: str) -> Callable[[Mapping], list[float]]:
    def alphas(config: Mapping) -> list[float]:
        entries = (by_name(config["models"], name) for name in config[section]["models"])
        return sorted({entry["alpha"] for entry in entries if not trained_elsewhere(entry)})

    return alphas


def _tries(config: Mapping) -> int:
    return sum(len(attack["settings"]) for attack in config["adversarial"]["attacks"])


class _Size(NamedTuple):
    """A size that stands on the page whether it differs or not.

    Attributes
    ----------
    what
        Its name.
    look_up
        Config to value.
    keys
        Dotted keys of the config that it tells in full.
    open
        Whether neither paper nor descendant state it, so that configs/paper.yaml has our choice.
    """

    what: str
    look_up: Callable[[Mapping], Any]
    keys: tuple[str, ...] = ()
    open: bool = False


def _key(what: str, key: str, *, open: bool = False) -> _Size:
    return _Size(what, _from(*key.split(".")), (key,), open)


_ROWS = (
    _Size("scans averaged in the neural target", _largest_target),
    _Size("neurons of a simulated scan", _neurons),
    _key("images in the pool", "stimuli.pool_size"),
    _Size("images shown repeatedly", _shown_repeatedly, ("stimuli.oracle_size",)),
    _Size("times that these are shown", _repeats, ("simulator.oracle_repeats",)),
    _key("channels of the response model", "response_model.channels", open=True),
    _key("images that are classified", "classification.source"),
    _key("network", "network.architecture"),
    _key("its channels in the first layer", "network.width"),
    _key("epochs", "training.epochs"),
    _key("images in a step", "training.batch_size"),
    _key("pairs of stimuli in a step", "training.pairs_per_step"),
    _Size("alpha, Fig. 1 and Table 1", _alphas("sweep")),
    _Size("seeds of each alpha", lambda config: len(config["sweep"]["seeds"])),
    _Size("alpha, Fig. 2 and noise", _alphas("conditions")),
    _Size("seeds of each condition", lambda config: len(config["conditions"]["seeds"])),
    _key("levels of noise", "noise.sigmas", open=True),
    _key("attacked images", "adversarial.samples"),
    _Size("attacks", lambda config: len(config["adversarial"]["attacks"])),
    _Size("settings of all attacks", _tries, open=True),
    _key("repetitions of each setting", "adversarial.repetitions"),
)
# Of the other keys, those that the paper or the descendant of its code state; the rest is open.
_STATED = frozenset(
    {
        "classification.train_size",
        "classification.test_size",
        "stimuli.source",
        "stimuli.crop",
        "reliability.weight_exponent",
        "training.learning_rate",
        "training.momentum",
        "training.weight_decay",
        "training.cycles",
        "training.phases",
        "training.phase_factor",
        "training.crop_padding",
        "training.horizontal_flip",
        "training.validation_fraction",
        "training.stimuli_in_batch_norm",
        "training.running_mean_decay",
        "noise.clip",
    }
)
_SECTIONS = (
    "classification",
    "stimuli",
    "missing",
    "simulator",
    "neurons",
    "response_model",
    "reliability",
    "network",
    "training",
    "noise",
    "adversarial",
)
# Where and how it is computed, not what; and lists of their own.
_LEFT_OUT = frozenset(
    {
        "classification.path",
        "classification.download",
        "stimuli.path",
        "stimuli.scan",
        "training.compile",
        "adversarial.batch_size",
        "adversarial.parts",
        "adversarial.together",
        "adversarial.trim_tolerance",
        "adversarial.trim_passes",
        "adversarial.attacks",
        "adversarial.tightening",
    }
)


def compare_sizes(config: Mapping, paper: Mapping) -> list[dict]:
    """Return the sizes of a run beside those of the paper's, then every other key of them that differs.

    Parameters
    ----------
    config, paper
        Two whole configs, valid ones.

    Returns
    -------
    list of dict
        ``what``, ``ours`` and ``paper`` as texts, ``differs``, ``open``: whether the paper's is our choice.
    """
    rows = [_row(size.what, size.look_up(config), size.look_up(paper), size.open) for size in _ROWS]
    told = _LEFT_OUT.union(*(size.keys for size in _ROWS))
    papers = _leaves(paper)
    for key, value in _leaves(config).items():
        if key not in told and value != papers[key]:
            rows.append(_row(key, value, papers[key], key not in _STATED))
    if _settings(config) != _settings(paper):
        rows.append(_row("what these settings are", "others", "as in configs/paper.yaml", True))
    return rows


def _row(what: str, ours: Any, papers: Any, is_open: bool) -> dict:
    texts = {"what": what, "ours": _shown(ours), "paper": _shown(papers)}
    return {**texts, "differs": ours != papers, "open": is_open}


def _leaves(config: Mapping) -> dict[str, Any]:
    """Return the dotted keys and the values of the sections that decide what comes out."""
    leaves = {}
    for section in _SECTIONS:
        value = config[section]
        if isinstance(value, Mapping):
            leaves |= {f"{section}.{key}": one for key, one in value.items()}
        else:
            leaves[section] = value
    return leaves


def _settings(config: Mapping) -> list[tuple]:
    return [(attack["method"], attack["settings"]) for attack in config["adversarial"]["attacks"]]


def read_paper(folder: Path) -> dict:
    """Return the config of the paper's sizes: ``configs/paper.yaml`` over ``config.yaml`` of a folder."""
    config, over = (
        yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        for name in ("config.yaml", "configs/paper.yaml")
    )
    update_config(config, over)
    return config


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if value is None:
        return "not set"
    return f"{value:g}" if isinstance(value, float) else f"{value}".replace("_", " ")
