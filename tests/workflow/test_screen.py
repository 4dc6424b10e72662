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
    assert "Simulated." in text.splitlines()
    assert "Results appear in results" in text


def test_the_end_counts_verdicts_and_names_what_is_there(tmp_path):
    rows = ["claim,sentence,verdict", 'a,"one, two",reproduced', "b,three,undecided", "c,four,undecided"]
    (tmp_path / "claims.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "fig1.pdf").touch()
    (tmp_path / "index.html").touch()
    assert closing(tmp_path).strip().splitlines() == [
        "Claims of the paper: 1 reproduced, 2 undecided.",
        f"To open first, in {tmp_path}: fig1.pdf.",
        f"All results on one page: {tmp_path}/index.html",
    ]
    assert closing(tmp_path / "nothing").strip() == ""
    for damaged in (b"", b"verd", b"claim,verdict\nfig2,repr", b"\xff\xfe\x00"):
        (tmp_path / "claims.csv").write_bytes(damaged)
        assert "All results on one page" in closing(tmp_path)


def test_a_failure_ends_with_the_ends_of_the_failed_jobs_logs(tmp_path):
    plot, train, log = (tmp_path / name for name in ("plot.log", "train.log", "snakemake.log"))
    plot.write_text("".join(f"line {n}\n" for n in range(100)))
    log.write_text(LOG.format(plot=plot, train=train) * 2)  # a job that was tried again
    lines = failing([log]).strip().splitlines()
    assert lines == [
        f"plot_fig1 failed. The end of its log, {plot}:",
        *(f"    line {n}" for n in range(100 - LAST_LINES, 100)),
        f"train_model failed. The end of its log, {train}:",
        "    (it wrote none)",
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
