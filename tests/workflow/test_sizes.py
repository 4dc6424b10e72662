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
        "of them shown repeatedly": "100",
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
