from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from neuroreg.errors import InputError
from neuroreg.workflow.config import check_files, validate_config
from neuroreg.workflow.screen import LAST_LINES, closing, failing, opening, ways

# As Snakemake 9.27 writes it.
LOG = """
[Thu Nov 26 06:26:16 2026]
Error in rule plot_fig1:
    message: None
    jobid: 3
    input: results/noise/none/seed1.h5
    output: results/fig1.pdf
    log: {plot} (check log file(s) for error details)

[Thu Nov 26 06:26:18 2026]
Error in rule train_model:
    message: train_model none 1
    jobid: 4
    output: results/models/none/seed1/model.safetensors
    log: {train} (check log file(s) for error details)
"""


def test_the_start_counts_what_the_config_asks_for(config):
    text = opening(config, "Simulated.", "results")
    # Three conditions and three alphas, one of which is a condition's, with three seeds each.
    assert "3 scans, 18 networks, 9 of them attacked by 10 attacks on 28 images" in text
    config["adversarial"]["tightening"] = [{"name": "fab_l1"}]
    assert "attacked by 11 attacks" in opening(config, "Simulated.", "results")
    assert "Simulated." in text.splitlines()
    assert "Results appear in results" in text


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of results, all of them there."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results")
    folder.mkdir()
    rows = ["claim,sentence,verdict", 'a,"one, two",reproduced', "b,three,undecided", "c,four,undecided"]
    (folder / "claims.csv").write_text("\n".join(rows) + "\n")
    for name in ("fig1.pdf", "fig2.pdf", "fig2.csv", "index.html", "settings.csv"):
        (folder / name).touch()
    return folder


def test_the_end_counts_verdicts_and_names_the_page(results, tmp_path):
    reached = ["results/claims.csv", "results/index.html", "results/fig1.pdf", "results/noise.pdf"]
    assert closing("results", reached, reached).strip().splitlines() == [
        "Claims of the paper: 1 reproduced, 2 undecided.",
        f"To open first, in {tmp_path}/results: fig1.pdf.",
        f"All results on one page: {tmp_path}/results/index.html",
    ]
    assert closing("nothing", reached, reached).strip() == ""
    for damaged in (b"", b"verd", b"claim,verdict\nfig2,repr", b"\xff\xfe\x00"):
        (results / "claims.csv").write_bytes(damaged)
        assert "All results on one page" in closing("results", reached, reached)


def test_the_end_names_nothing_that_an_earlier_run_made(results, tmp_path):
    reached = [
        "results/attacks/none/seed1/ddn.h5",
        "results/fig2.csv",
        "results/fig2.pdf",
        "results/settings.csv",
    ]
    asked = ["results/fig2.pdf", "results/settings.csv"]
    assert closing("results", asked, reached).strip().splitlines() == [
        f"To open first, in {tmp_path}/results: fig2.pdf, settings.csv.",
        f"The page {tmp_path}/results/index.html is of an earlier run; asked for, it is made anew.",
    ]
    (results / "index.html").unlink()
    assert closing("results", asked, reached).strip().count("\n") == 0
    assert closing("results", ["results/attacks/none/seed1/ddn.h5"], reached).strip() == ""


def test_a_failure_ends_with_the_ends_of_the_failed_jobs_logs(tmp_path):
    plot, train, log = (tmp_path / name for name in ("plot.log", "train.log", "snakemake.log"))
    plot.write_text("".join(f"line {n}\n" for n in range(100)))
    log.write_text(LOG.format(plot=plot, train=train) * 2)  # a job that was tried again
    lines = failing([log]).strip().splitlines()
    assert lines == [
        f"plot_fig1 failed. The end of its log, {plot}:",
        *(f"    line {n}" for n in range(100 - LAST_LINES, 100)),
        f"train_model failed. The end of its log, {train}:",
        "    (it wrote none; see the message above)",
    ]
    assert failing([tmp_path / "none.log"]).strip() == ""


def test_what_is_missing_is_told_with_ways_to_have_it_that_are_valid(root, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    update_config(config, yaml.safe_load((root / "configs" / "paper.yaml").read_text()))
    with pytest.raises(InputError) as missing:
        check_files(config)
    told = ways(str(missing.value))
    assert "configs/public_scans.yaml" in told
    assert (root / "configs" / "public_scans.yaml").is_file()
    update_config(config, {"stimuli": yaml.safe_load(told.split("'")[1])["stimuli"]})
    validate_config(config)
    check_files(config)
    assert ways("config key 'training.epochs': found -1; expected more.") == ""
    # Of targets only the weights can be had otherwise.
    assert "torchvision" in ways("config key 'targets[4].weights': no file 'vgg.pth'; expected weights.")
    assert ways("config key 'targets[4].path': no file 'mine.h5'; expected a similarity matrix.") == ""
