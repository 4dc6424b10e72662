import hashlib
import os
import platform

import numpy as np
import pytest

from neuroreg.page.provenance import file_digests, machine, stage_times, versions

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(path, seconds, megabytes, cpu):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}{seconds}\t0:00:01\t{megabytes}\t1\t1\t1\t0\t0\t9\t{cpu}\n")


def test_times_are_sums_over_a_rules_jobs_of_this_config(tmp_path):
    benchmark(tmp_path / "benchmarks" / "train_model" / "none" / "seed1.tsv", 10, 500, 8)
    benchmark(tmp_path / "benchmarks" / "train_model" / "none" / "seed2.tsv", 20, 700, 9)
    benchmark(tmp_path / "benchmarks" / "train_model" / "earlier" / "seed1.tsv", 1000, 9000, 1000)
    benchmark(tmp_path / "benchmarks" / "search_adversarials" / "none" / "seed1" / "pgd.part0.tsv", 1, 90, 30)
    benchmark(tmp_path / "benchmarks" / "search_adversarials" / "none" / "seed1" / "pgd.part1.tsv", 2, 80, 40)
    benchmark(tmp_path / "benchmarks" / "plot_fig1.tsv", 3, 60, 2)
    times = stage_times(tmp_path, {"none", "seed1", "seed2", "pgd"})
    assert [tuple(row) for row in times.itertuples(index=False)] == [
        ("search_adversarials", 2, 3.0, 70.0, 90.0),
        ("train_model", 2, 30.0, 17.0, 700.0),
        ("plot_fig1", 1, 3.0, 2.0, 60.0),
    ]


def test_searches_of_another_form_are_of_another_config(tmp_path):
    folder = tmp_path / "benchmarks" / "search_adversarials" / "none"
    for age, name in enumerate(("seed1/pgd.part3.tsv", "seed1.tsv", "seed1/pgd.tsv")):
        benchmark(folder / name, 10**age, 1, 1)
        os.utime(folder / name, (age, age))
    assert stage_times(tmp_path, {"none", "seed1", "pgd"})["seconds"].tolist() == [100]
    os.utime(folder / "seed1.tsv", (9, 9))
    assert stage_times(tmp_path, {"none", "seed1", "pgd"})["seconds"].tolist() == [10]


def test_what_snakemake_could_not_measure_is_left_open(tmp_path):
    benchmark(tmp_path / "benchmarks" / "plot_fig1.tsv", 0.1, "-", "NA")
    (row,) = stage_times(tmp_path, set()).to_dict("records")
    assert row["seconds"] == 0.1
    assert np.isnan(row["megabytes"])


@pytest.mark.parametrize("content", [b"", HEAD.encode(), b"\xff\x00", b"s\n"])
def test_a_damaged_file_of_times_costs_that_time_alone(tmp_path, caplog, content):
    benchmark(tmp_path / "benchmarks" / "plot_fig1.tsv", 3, 60, 2)
    (tmp_path / "benchmarks" / "plot_fig2.tsv").write_bytes(content)
    times = stage_times(tmp_path, set()).set_index("stage")
    assert times.loc["plot_fig1", "seconds"] == 3
    assert times.loc["plot_fig2", "seconds"] == 0 and np.isnan(times.loc["plot_fig2", "megabytes"])
    assert "plot_fig2.tsv: not readable" in caplog.text


def test_what_a_jobs_log_tells_is_taken_before_what_snakemake_saw(tmp_path):
    for seed, last in enumerate(["done after 8.5 s of processor time and 512 MB of memory", "done", ""]):
        benchmark(tmp_path / "benchmarks" / "train_model" / "none" / f"seed{seed}.tsv", 10, 7, 1)
        log = tmp_path / "logs" / "train_model" / "none" / f"seed{seed}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"2026-01-01 10:00:00,000 {last}\n" if last else "")
    benchmark(tmp_path / "benchmarks" / "plot_fig1.tsv", 2, 60, 1.5)
    times = stage_times(tmp_path, {"none", "seed0", "seed1", "seed2"})
    assert [tuple(row) for row in times.itertuples(index=False)] == [
        ("train_model", 3, 30.0, 10.5, 512.0),
        ("plot_fig1", 1, 2.0, 1.5, 60.0),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00\n", b"done after 1.2.3 s of processor time", b"done after 9 s of", None]
)
def test_a_damaged_log_leaves_what_snakemake_saw(tmp_path, content):
    benchmark(tmp_path / "benchmarks" / "plot_fig1.tsv", 3, 60, 2)
    log = tmp_path / "logs" / "plot_fig1.log"
    log.parent.mkdir()
    if content is None:
        log.mkdir()
    else:
        log.write_bytes(content)
    assert stage_times(tmp_path, set()).values.tolist() == [["plot_fig1", 1, 3, 2, 60]]


def test_no_benchmarks_no_rows(tmp_path):
    assert stage_times(tmp_path / "none", set()).empty


def test_digests_are_by_path_below_the_folder(tmp_path):
    (tmp_path / "scans").mkdir()
    inside, outside = tmp_path / "scans" / "a.json", tmp_path.parent / f"{tmp_path.name}.csv"
    inside.write_bytes(b"inside")
    outside.write_bytes(b"outside")
    assert file_digests([outside, inside], tmp_path) == {
        outside.name: hashlib.sha256(b"outside").hexdigest(),
        "scans/a.json": hashlib.sha256(b"inside").hexdigest(),
    }


def test_versions_and_machine_are_this_ones():
    assert versions()["Python"] == platform.python_version()
    assert {"neuroreg", "numpy", "torch", "snakemake"} <= set(versions())
    assert platform.system() in machine()["System"]
    assert int(machine()["Cores"].split()[0]) >= 1
