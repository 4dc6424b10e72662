import copy

import pytest
import yaml
from snakemake.utils import update_config

from neuroreg.workflow.config import validate_config
from neuroreg.workflow.sizes import compare_sizes, read_paper


@pytest.fixture(scope="module")
def paper(root):
    return read_paper(root)


def test_the_papers_config_is_what_snakemake_makes_of_it(root, paper, config):
    update_config(config, yaml.safe_load((root / "configs" / "paper.yaml").read_text()))
    assert paper == config
    validate_config(paper)


def test_the_papers_sizes_are_those_that_it_states(paper):
    rows = {row["what"]: row["paper"] for row in compare_sizes(paper, paper)}
    stated = {
        "scans averaged in the neural target": "8",
        "neurons of a simulated scan": "8000",
        "images in the pool": "5000",
        "images shown repeatedly": "100",
        "times that these are shown": "10",
        "images that are classified": "cifar10",
        "network": "resnet18",
        "its channels in the first layer": "64",
        "epochs": "40",
        "images in a step": "64",
        "pairs of stimuli in a step": "16",
        "alpha, Fig. 1 and Table 1": "0, 2, 4, 8, 16, 32",
        "alpha, Fig. 2 and noise": "0, 20",
        "seeds of each condition": "5",
        "attacked images": "1000",
        "repetitions of each setting": "5",
    }
    assert stated.items() <= rows.items()


def test_only_what_differs_is_marked(paper):
    assert not any(row["differs"] for row in compare_sizes(paper, paper))
    smaller = copy.deepcopy(paper)
    smaller["training"]["epochs"] = 10
    smaller["targets"][0]["scans"] = ["scan1"]
    marked = {row["what"]: row["ours"] for row in compare_sizes(smaller, paper) if row["differs"]}
    assert marked == {"epochs": "10", "scans averaged in the neural target": "1"}


def test_configs_without_a_simulated_scan_have_sizes_too(root, paper):
    public = copy.deepcopy(paper)
    update_config(public, yaml.safe_load((root / "configs" / "public_scans.yaml").read_text()))
    rows = {row["what"]: row["ours"] for row in compare_sizes(public, paper)}
    assert rows["neurons of a simulated scan"] == "none"


def test_every_other_key_that_decides_results_is_named_where_it_differs(paper):
    other = copy.deepcopy(paper)
    changes = {
        "classification": {"train_size": 1000, "test_size": 900},
        "reliability": {"weight_exponent": 3.0},
        "training": {"horizontal_flip": False, "fisher_z": "log_ratio", "learning_rate": 0.01, "cycles": 1},
        "noise": {"clip": "none", "draws": 1},
        "adversarial": {"logit_margin": None},
    }
    update_config(other, changes)
    other["training"]["compile"] = not paper["training"]["compile"]
    other["adversarial"]["attacks"][0]["settings"][0]["steps"] += 1
    rows = {row["what"]: row for row in compare_sizes(other, paper) if row["differs"]}
    expected = {f"{section}.{key}" for section, keys in changes.items() for key in keys}
    assert rows.keys() == expected | {"what these settings are"}
    assert rows["training.horizontal_flip"] == {
        "what": "training.horizontal_flip", "ours": "no", "paper": "yes", "differs": True, "open": False,
    }  # fmt: skip
    assert rows["training.fisher_z"]["open"]


def test_each_key_of_the_config_is_shown_where_it_differs_or_left_out_on_purpose(paper):
    """A key of tomorrow must be seen, too."""
    other = copy.deepcopy(paper)
    silent = set()
    for section in paper:
        for key, value in paper[section].items() if isinstance(paper[section], dict) else ():
            other[section][key] = value[:1] if isinstance(value, list) else "something else"
            try:
                shown = any(row["differs"] for row in compare_sizes(other, paper))
            finally:
                other[section][key] = value
            if not shown:
                silent.add(f"{section}.{key}")
    assert silent == {
        "classification.path", "classification.download", "stimuli.path", "stimuli.scan", "downloads.folder",
        "training.compile", "adversarial.batch_size", "adversarial.parts", "adversarial.together",
        "adversarial.trim_tolerance", "adversarial.trim_passes", "adversarial.tightening",
        "cluster.max_minutes", "cluster.max_megabytes",
    }  # fmt: skip
