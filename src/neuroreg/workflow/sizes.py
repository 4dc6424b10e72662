"""How large a run is beside the paper's: the sizes that a config decides, and those of configs/paper.yaml."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from neuroreg.workflow.grid import by_name


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


def _alphas(section: str) -> Callable[[Mapping], list[float]]:
    def alphas(config: Mapping) -> list[float]:
        return sorted({by_name(config["models"], name)["alpha"] for name in config[section]["models"]})

    return alphas


def _tries(config: Mapping) -> int:
    return sum(len(attack["settings"]) for attack in config["adversarial"]["attacks"])


_ROWS: tuple[tuple[str, Callable[[Mapping], Any]], ...] = (
    ("scans averaged in the neural target", _largest_target),
    ("neurons of a simulated scan", _neurons),
    ("images in the pool", _from("stimuli", "pool_size")),
    ("of them shown repeatedly", _from("stimuli", "oracle_size")),
    ("times that these are shown", _from("simulator", "oracle_repeats")),
    ("channels of the response model", _from("response_model", "channels")),
    ("images that are classified", _from("classification", "source")),
    ("network", _from("network", "architecture")),
    ("its channels in the first layer", _from("network", "width")),
    ("epochs", _from("training", "epochs")),
    ("images in a step", _from("training", "batch_size")),
    ("pairs of stimuli in a step", _from("training", "pairs_per_step")),
    ("alpha, Fig. 1 and Table 1", _alphas("sweep")),
    ("seeds of each alpha", lambda config: len(config["sweep"]["seeds"])),
    ("alpha, Fig. 2 and noise", _alphas("conditions")),
    ("seeds of each condition", lambda config: len(config["conditions"]["seeds"])),
    ("levels of noise", _from("noise", "sigmas")),
    ("attacked images", _from("adversarial", "samples")),
    ("attacks", lambda config: len(config["adversarial"]["attacks"])),
    ("settings of all attacks", _tries),
    ("repetitions of each setting", _from("adversarial", "repetitions")),
)


def compare_sizes(config: Mapping, paper: Mapping) -> list[dict]:
    """Return the sizes of a run beside those of the paper's.

    Parameters
    ----------
    config, paper
        Two whole configs, valid ones.

    Returns
    -------
    list of dict
        ``what``, ``ours`` and ``paper`` as texts, ``differs``.
    """
    rows = []
    for what, look_up in _ROWS:
        ours, papers = look_up(config), look_up(paper)
        rows.append({"what": what, "ours": _shown(ours), "paper": _shown(papers), "differs": ours != papers})
    return rows


def read_paper(folder: Path) -> dict:
    """Return the config of the paper's sizes: ``configs/paper.yaml`` over ``config.yaml`` of a folder."""
    config, over = (
        yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        for name in ("config.yaml", "configs/paper.yaml")
    )
    update_config(config, over)
    return config


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if value is None:
        return "all"
    return f"{value:g}" if isinstance(value, float) else f"{value}".replace("_", " ")
