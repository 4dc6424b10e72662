"""The workflow as its users run it: from the command line, at small size."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from browser import Browser, find_browser, problems
from page_checks import check_page

from neuroreg.files.records import read_record
from neuroreg.files.storage import read_csv, read_json, sha256
from neuroreg.files.usage import read_usage
from neuroreg.images.stimuli import Stimuli
from neuroreg.page.provenance import stage_times
from neuroreg.robustness.attack_result import AttackResult
from neuroreg.robustness.recheck import recheck
from neuroreg.scans.scan import Scan
from neuroreg.similarity.matrix import SimilarityMatrix

FIGURES = (
    "fig1",
    "fig2",
    "tightening",
    "noise",
    "similarity",
    "survival",
    "convergence",
    "examples",
    "training",
)
TABLES = (
    *("overlap.csv", "masking.csv", "settings.csv", "table1.csv", "table1.tex", "table2.csv", "table2.tex"),
    *("scores.csv", "scores.tex", "claims.csv", "index.html"),
)


class Workflow:
    """A copy of the project, so that its code can be edited, run in a folder of its own."""

    def __init__(self, root, place):
        self.code, self.folder = place / "code", place / "run"
        self.folder.mkdir(parents=True)
        for name in ("rules", "workflow_scripts", "schemas", "configs", "profiles", "report", "envs", "src"):
            shutil.copytree(root / name, self.code / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(root / name, self.code / name)

    def start(self, *arguments, configs=("smoke",)):
        files = [str(self.code / "configs" / f"{name}.yaml") for name in configs]
        command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", str(self.code / "Snakefile")]
        command += ["--directory", str(self.folder), "--cores", "4"]
        command += ["--configfile", *files] if files else []
        environment = os.environ | {"PYTHONPATH": str(self.code / "src"), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, **pipes)

    def __call__(self, *arguments, **options):
        process = self.start(*arguments, **options)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def make(self, *arguments, **options):
        """Run it to the end."""
        result = self(*arguments, **options)
        assert result.returncode == 0, result.stderr[-5000:]
        return result

    def planned(self, *arguments, **options):
        """Number of jobs of each rule that a dry run shows, without the target rule `all`."""
        result = self.make(*arguments, "-n", **options)
        text = result.stdout + result.stderr
        jobs = re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)
        return {rule: int(count) for rule, count in jobs if rule not in ("total", "all")}

    def overlay(self, name, content):
        (self.code / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(content))
        return name

    @property
    def results(self):
        return self.folder / "results"

    def attacks(self):
        """Each attack's file and the model that it attacked."""
        folder = self.results / "attacks"
        for path in sorted(folder.rglob("*.h5")):
            yield path, self.results / "models" / path.parent.relative_to(folder) / "model.safetensors"

    def take_up(self, other, *left_out):
        """Go on from what another one has made, except for folders of these names."""
        shutil.copytree(other.results, self.results, ignore=shutil.ignore_patterns(*left_out))
        shutil.copytree(other.folder / ".snakemake", self.folder / ".snakemake")


def only_scan(**source):
    """An overlay in which one scan takes the place of the simulated ones."""
    return {
        "scans": [{"name": "mine", **source}],
        "targets": [
            {"name": name, "kind": "raw" if name == "raw" else "denoised", "scans": ["mine"]}
            for name in ("neural", "neural_one_scan", "shuffle", "raw")
        ],
    }


@pytest.fixture
def fresh(root, tmp_path):
    return Workflow(root, tmp_path)


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """The whole workflow at smoke size, run once."""
    workflow = Workflow(root, tmp_path_factory.mktemp("finished"))
    workflow.make()
    return workflow


def test_each_file_says_what_made_it_and_from_what(finished):
    """Images and simulated animals come from packages and seeds, all else from other files."""
    unmade, settings = set(), {}
    for path in sorted(finished.results.rglob("*.h5")):
        if path.parent.name == "simulated_scans":  # as labs leave theirs
            continue
        with h5py.File(path) as file:
            config, inputs = (json.loads(file.attrs[name]) for name in ("config", "inputs"))
        place = path.relative_to(finished.results)
        settings[place.parts[0]] = config
        if not inputs:
            unmade.add(place.as_posix())
        for name, digest in inputs.items():
            assert digest in {sha256(found) for found in finished.results.rglob(Path(name).name)}, path
    assert unmade == {"classification.h5", "stimuli.h5"}
    noise = yaml.safe_load((finished.code / "configs" / "smoke.yaml").read_text())["noise"]
    assert settings["noise"].items() >= noise.items()
    assert "seed" in settings["noise"]
    assert {place for place, config in settings.items() if not config} == {"responses"}


def test_everything_asked_for_is_there(finished):
    for name in (*(f"{figure}.pdf" for figure in FIGURES), *TABLES):
        path = finished.results / name
        assert path.stat().st_size > 100, name
        if path.suffix == ".pdf":
            assert path.read_bytes().startswith(b"%PDF")
    for figure in FIGURES:
        assert len(read_csv(finished.results / f"{figure}.csv")) > 0
    assert not list(finished.results.rglob("*partial*"))
    assert not list(finished.results.rglob("*resume*"))


def test_every_column_of_a_figure_is_told_in_the_documentation(finished, root):
    page = (root / "docs" / "files.md").read_text()
    everywhere = re.search(r"^Every figure has its numbers(.*\n)+", page, re.M)[0]
    family = re.compile(r"(paper_|gamma_|wins_|closer_|g(?=\d))\w+|(_low|_high|_bound)$")

    def told_of(name):
        return set(re.findall(r"`(\w+)", re.search(rf"^\|.*`results/{name}\.csv`.*$", page, re.M)[0]))

    for name in (*FIGURES, "table1", "table2"):
        told = told_of(name) | set(re.findall(r"`(\w+)`", everywhere)) | {"paper_", "g"}
        told |= told_of("fig2") if name == "table2" else set()
        columns = read_csv(finished.results / f"{name}.csv").columns
        assert {family.sub(lambda found: found[1] or "", one) for one in columns} <= told, name


def test_no_job_took_more_memory_than_it_asks_for(finished):
    plan = finished.make("-n", "--forceall").stdout
    jobs = re.findall(r"^    log: (\S+\.log).*\n(?:    .*\n)*?.*\bmem_mb=(\d+)", plan, re.M)
    logs = (finished.results / "logs").rglob("*.log")
    assert {log for log, _ in jobs} == {path.relative_to(finished.folder).as_posix() for path in logs}
    took = {log: read_usage(finished.folder / log) for log, _ in jobs}
    assert all(usage.cpu_seconds > 0 for usage in took.values())
    if not any(np.isfinite(usage.megabytes) for usage in took.values()):
        pytest.skip("this system does not tell a process's peak")
    # Slurm, too, takes mem_mb for units of 2^20 bytes.
    assert [log for log, megabytes in jobs if not 50 < took[log].megabytes <= int(megabytes)] == []
    # Not what Snakemake saw, which does not look often enough at short jobs.
    largest = stage_times(finished.results, {path.stem for path in finished.results.rglob("*.tsv")})
    assert largest["megabytes"].min() > 50


def test_every_claim_has_a_verdict(finished):
    claims = read_csv(finished.results / "claims.csv")
    assert len(claims) == claims["claim"].nunique() == 27
    assert set(claims["verdict"]) <= {"reproduced", "not reproduced", "undecided"}
    assert set(claims["scans"]) == {"Simulated scans: no neural recording was used."}
    decided = claims["verdict"] != "undecided"
    assert claims.loc[decided, ["estimate", "low", "high"]].notna().all(axis=None)
    assert claims.loc[~decided, "note"].notna().all()


def test_noise_tables_are_the_sums_of_their_counts(finished):
    for path in sorted((finished.results / "noise").rglob("*.csv")):
        table = read_csv(path)
        with h5py.File(path.with_suffix(".h5")) as file:
            share = file["correct"][()].mean(axis=1) / file["draws"][()]
        np.testing.assert_allclose(table["accuracy"], share)
        assert list(table["sigma"]) == [0.0, 0.1]


def test_distances_are_those_of_a_fresh_forward_pass(finished):
    import torch

    from neuroreg.images.classification import ClassificationData
    from neuroreg.training.checkpoints import load_model

    data = read_record(finished.results / "classification.h5", ClassificationData)
    checked = 0
    for path, attacked in finished.attacks():
        model = load_model(attacked)
        with h5py.File(path) as file:
            sample, label = file["sample"][()], file["label"][()]
            clean = data.test_images[sample].astype(np.float32) / 255
            orders = {"l1": 1, "l2": 2, "linf": np.inf}
            for norm, order in orders.items():
                smallest = file[f"distance/{norm}"][()].min((0, 1))
                best = file[f"best_adversarial/{norm}"][()]
                for row in np.flatnonzero((smallest > 0) & np.isfinite(smallest)):
                    difference = (best[row].astype(np.float64) - clean[row]).ravel()
                    assert np.linalg.norm(difference, order) == pytest.approx(smallest[row], rel=1e-4)
                    with torch.no_grad():
                        logits = model(torch.from_numpy(best[row])[None, None])
                    assert logits.argmax().item() != label[row]
                    checked += 1
    assert checked > 10


def test_every_row_of_every_attack_holds_when_checked_again(finished):
    attacks = list(finished.attacks())
    assert len(attacks) == 4 * 5
    for path, model in attacks:
        found = recheck(path, model, finished.results / "classification.h5")
        assert found.complaints == ()
        assert found.table["adversarials"].sum() > 0


def test_stronger_attacks_change_nothing_but_their_own_columns_and_figure(finished):
    distances = read_csv(finished.results / "distances.csv")
    assert list(distances.columns[-3:]) == ["distance_sigma_zero", "tightened", "tightened_by"]
    assert (distances["tightened"] == distances[["distance", "distance_sigma_zero"]].min(axis=1)).all()
    assert set(distances["attack"].dropna()) <= {"pgd", "brendel_bethge_l0", "brendel_bethge_l1", "ddn"}
    assert not any("sigma_zero" in name for name in read_csv(finished.results / "table2.csv").columns)
    numbers = read_csv(finished.results / "tightening.csv")
    assert len(numbers) == 4 * 4
    assert (numbers["ratio"].dropna() <= 1).all()


def test_a_search_in_parts_is_joined_in_the_order_of_the_samples(finished, fresh):
    path = "results/attacks/none/seed1/ddn.h5"
    model = "results/models/none/seed1/model.safetensors"
    fresh.take_up(finished, "attacks")
    configs = ("smoke", fresh.overlay("parts", {"adversarial": {"parts": 3}}))
    assert fresh.planned(path, configs=configs) == {"search_adversarials": 3, "join_searches": 1}
    fresh.make(path, configs=configs)
    joined, whole = (
        read_record(fresh.folder / path, AttackResult),
        read_record(finished.folder / path, AttackResult),
    )
    assert np.array_equal(joined.sample, whole.sample)
    assert np.array_equal(joined.clean_correct, whole.clean_correct)
    # Passes of another shape: rounding may take a search another way.
    assert np.isclose(joined.distance["l2"], whole.distance["l2"], rtol=1e-3).mean() > 0.7
    assert recheck(fresh.folder / path, fresh.folder / model).complaints == ()
    assert [file.name for file in (fresh.folder / path).parent.iterdir()] == ["ddn.h5"]


def test_searches_apart_find_the_same_to_the_bit(finished, fresh):
    fresh.take_up(finished, "attacks")
    targets = [f"results/attacks/none/seed1/{name}.h5" for name in ("ddn", "sigma_zero")]
    configs = ("smoke", fresh.overlay("apart", {"adversarial": {"together": False}}))
    assert fresh.planned(*targets, configs=configs) == {"search_adversarials": 2}
    fresh.make(*targets, configs=configs)
    for target in targets:
        assert (fresh.folder / target).read_bytes() == (finished.folder / target).read_bytes()


def test_an_attack_more_leaves_the_searches_before_it_alone(finished, fresh):
    target = "results/attacks/none/seed1/fab_l2.h5"
    fresh.take_up(finished)
    folder = fresh.results / "attacks" / "none" / "seed1"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    more = [{"name": name, "method": name, "settings": [{"steps": 20}]} for name in ("sigma_zero", "fab_l2")]
    configs = ("smoke", fresh.overlay("more", {"adversarial": {"tightening": more}}))
    assert fresh.planned(target, configs=configs) == {"search_adversarials": 1}
    fresh.make(target, configs=configs)
    log = (fresh.results / "logs" / "search_adversarials" / "none" / "seed1.log").read_text()
    assert log.count("kept") == len(before) == 5
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after == before | {"fab_l2.h5": after["fab_l2.h5"]}
    assert fresh.planned(target, configs=configs) == {}


def test_a_network_that_was_trained_elsewhere_is_a_condition(finished, fresh):
    """None's own network, brought as a file, is found to be what None is."""
    from neuroreg.training.export import export_model

    fresh.take_up(finished, "noise")
    data = fresh.folder / "data"
    data.mkdir()
    export_model(finished.results / "models/none/seed1/model.safetensors", data / "twin1.pt2")
    models = [
        {"name": "none", "label": "None", "target": None, "alpha": 0.0},
        {"name": "one_scan_a8", "target": "neural_one_scan", "alpha": 8.0},
        {"name": "twin", "path": "data/twin{seed}.pt2"},
    ]
    overlay = {"models": models, "conditions": {"models": ["none", "twin"], "seeds": [1]}}
    configs = ("smoke", fresh.overlay("twin", overlay))
    targets = ("results/noise.pdf", "results/masking.csv", "results/training.pdf")
    fresh.make(*targets, configs=configs)
    taken = fresh.results / "models/twin/seed1/model.pt2"
    assert taken.read_bytes() == (data / "twin1.pt2").read_bytes()
    curves = read_csv(fresh.results / "noise.csv").set_index("model")["accuracy"]
    assert curves["twin"].tolist() == curves["none"].tolist()
    for name in ("ddn", "pgd"):  # without random starts that rounding could move
        none, twin = (
            read_record(fresh.results / "attacks" / model / "seed1" / f"{name}.h5", AttackResult)
            for model in ("none", "twin")
        )
        assert recheck(fresh.results / "attacks/twin/seed1" / f"{name}.h5", taken).complaints == ()
        for norm in ("l2", "linf"):
            np.testing.assert_allclose(twin.distance[norm], none.distance[norm], rtol=0.02)
    checks = read_csv(fresh.results / "masking.csv").set_index(["model", "check"])["flag"]
    assert (checks["twin"][["zero gradients", "float32 gradients", "five passes"]] == "ok").all()
    assert set(read_csv(fresh.results / "training.csv")["model"]) == {"none", "one_scan_a8"}
    assert fresh.planned(*targets, configs=configs) == {}
    os.utime(data / "twin1.pt2")
    assert fresh.planned(*targets, configs=configs) == {}
    export_model(finished.results / "models/raw/seed1/model.safetensors", data / "twin1.pt2")
    planned = fresh.planned(*targets, configs=configs)
    assert planned.items() >= {"take_model": 1, "evaluate_noise": 1, "search_adversarials": 1}.items()
    assert "train_model" not in planned
    # No claim is of networks that were trained elsewhere: the sweep's other model alone.
    assert fresh.planned("results/claims.csv", configs=configs)["evaluate_noise"] == 1
    shutil.copy(data / "twin1.pt2", data / "twin2.pt2")
    two = (*configs, fresh.overlay("two", {"conditions": {"seeds": [1, 2]}}))
    refused = fresh("results/noise.pdf", "-n", configs=two)
    assert (
        "'data/twin1.pt2' and 'data/twin2.pt2' are the same; expected a network of its own" in refused.stderr
    )
    models[2]["path"] = "results/models/twin/seed{seed}/model.pt2"
    inside = ("smoke", fresh.overlay("inside", overlay))
    refused = fresh("results/noise.pdf", "-n", configs=inside)
    assert "seed1/model.pt2' is where results go; expected an exported network elsewhere." in refused.stderr
    content = (data / "twin1.pt2").read_bytes()
    (data / "twin1.pt2").write_bytes(content[: len(content) // 2])
    refused = fresh("results/noise.pdf", configs=configs)
    assert refused.returncode != 0
    assert "take_model: data/twin1.pt2: not a program of torch.export (" in refused.stderr
    (data / "twin1.pt2").unlink()
    refused = fresh("results/noise.pdf", configs=configs)
    assert (refused.returncode, refused.stderr.strip().splitlines()[-1]) == (
        1,
        "Error: config key 'models[2].path': no file 'data/twin1.pt2'; expected an exported network.",
    )


def test_masking_is_checked_for_every_model(finished):
    table = read_csv(finished.results / "masking.csv")
    assert set(table["model"]) == {"none", "shuffle", "neural", "raw"}
    assert set(table["flag"]) <= {"ok", "flag", "none"}
    hard = table[table["check"].isin(["zero gradients", "five passes"])]
    assert (hard["flag"] == "ok").all()
    # One repetition: nothing can be said of the last.
    assert (table.loc[table["check"] == "last repetition", "flag"] == "none").all()


def test_every_setting_is_ranked_and_every_curve_ends_at_fig_2(finished):
    settings = read_csv(finished.results / "settings.csv")
    assert len(settings) == 4 * 4  # attacks of one setting each, norms
    assert set(settings["kept"]) == {"yes"}
    assert (settings.groupby("norm")["wins"].sum() == settings.groupby("norm")["samples"].first()).all()
    curves = read_csv(finished.results / "convergence.csv")
    last = curves.groupby(["norm", "model", "axis"])["mean"].last().unstack()
    bars = read_csv(finished.results / "fig2.csv")
    bars = bars[(bars["level"] == "over seeds") & (bars["samples"] == "all")]
    bars = bars.set_index(["norm", "model"])["mean"].sort_index()
    for axis in ("repetitions", "settings", "budget"):
        np.testing.assert_allclose(last[axis].sort_index(), bars, rtol=1e-6)


def test_a_second_run_has_nothing_to_do(finished):
    result = finished()
    assert "Nothing to be done" in result.stdout + result.stderr
    assert finished.planned() == {}


def test_the_truth_is_made_by_name_only_and_nothing_reads_it(finished):
    assert not (finished.results / "simulated_truth").exists()
    path = finished.results / "simulated_truth" / "simulated1.h5"
    finished.make("results/simulated_truth/simulated1.h5")
    with h5py.File(path) as file, h5py.File(finished.results / "stimuli.h5") as stimuli:
        assert file.attrs["kind"] == "simulated_truth"
        np.testing.assert_array_equal(file["key"][()], stimuli["key"][()])
        assert file["expected"].shape == (72, 12)
    os.utime(path)
    assert finished.planned() == {}
    path.unlink()


def test_editing_a_comment_reruns_nothing(finished):
    for path in finished.code.rglob("*.py"):
        path.write_text(path.read_text() + "\n# a remark\n")
    assert finished.planned() == {}


def test_editing_the_noise_evaluation_reruns_it_and_its_figures(finished):
    path = finished.code / "src" / "neuroreg" / "robustness" / "noise.py"
    original = path.read_text()
    path.write_text(original + "\nEXTRA = 1\n")
    try:
        assert finished.planned() == {
            "evaluate_noise": 5,
            "plot_fig1": 1,
            "plot_noise": 1,
            "tabulate_claims": 1,
            "write_page": 1,
        }
    finally:
        path.write_text(original)


def test_an_attack_and_a_network_of_ones_own_rerun_nothing_before_they_are_asked_for(finished):
    library = finished.code / "src" / "neuroreg"
    attack, network = library / "robustness" / "attacks" / "mine.py", library / "training" / "mine.py"
    attack.write_text('METHODS = {"mine": {"norm": "l2", "settings": {"steps": (3, 1, 9, "steps")}}}\n')
    network.write_text('ARCHITECTURES = {"mine": "Mine"}\n\n\nclass Mine:\n    """Not asked for."""\n')
    try:
        assert finished.planned() == {}
        finished.overlay("mine", {"network": {"architecture": "mine"}})
        assert finished.planned(configs=("smoke", "mine"))["train_model"] == 5
    finally:
        attack.unlink()
        network.unlink()


def test_what_may_be_downloaded_is_no_cause_to_rerun(finished):
    finished.overlay("downloading", {"classification": {"download": True}})
    assert finished.planned(configs=("smoke", "downloading")) == {"write_page": 1}  # it shows the config


def test_changing_a_setting_reruns_what_it_decides(finished):
    finished.overlay("more_noise", {"noise": {"draws": 2}})
    planned = finished.planned(configs=("smoke", "more_noise"))
    shown = {"plot_fig1": 1, "plot_noise": 1, "tabulate_claims": 1, "write_page": 1}
    assert planned == {"evaluate_noise": 5} | shown


def test_the_report_holds_every_figure_with_its_caption(finished):
    finished.make("--report", "report.zip")
    with zipfile.ZipFile(finished.folder / "report.zip") as archive:
        names = archive.namelist()
        page = next(archive.read(name).decode() for name in names if name.endswith("report.html"))
    for figure in FIGURES:
        assert any(name.endswith(f"{figure}.pdf") for name in names), names
    assert any(name.endswith("claims.csv") for name in names), names
    assert "Simulated scans" in page


# What markup languages, formats, shells and Snakemake take for commands; and letters that few fonts have.
DIFFICULT = {
    "none": "$5_ or $6 {model} %s",
    "shuffle": "_shuffle 神经",
    "neural": "<b>a</b></script> & \"q\" \\$x$, 'y'",
    "raw": "NaN",
}


def with_labels(finished):
    """An overlay with other labels."""
    models = yaml.safe_load((finished.code / "configs/smoke.yaml").read_text())["models"]
    labelled = [
        model | ({"label": DIFFICULT[model["name"]]} if model["name"] in DIFFICULT else {})
        for model in models
    ]
    return "smoke", finished.overlay("labels", {"models": labelled})


def test_a_label_reruns_what_shows_it_and_reaches_it_as_it_is(finished, fresh):
    """Together with a report that is put together without the config of the run."""
    shown = (
        "plot_fig2",
        "plot_noise",
        "plot_survival",
        "plot_convergence",
        "plot_examples",
        "plot_training",
        "tabulate_table2",
        "write_page",
    )
    fresh.take_up(finished)
    configs = with_labels(fresh)
    assert fresh.planned(configs=configs) == dict.fromkeys([*shown, "plot_tightening"], 1)
    fresh.make(configs=configs)
    assert fresh.planned(configs=configs) == {}
    for name in ("fig2", "noise", "survival", "convergence", "examples", "table2", "training"):
        table = read_csv(fresh.results / f"{name}.csv")
        found = table.groupby("model")["label"].unique()
        # The one of the sweep has no label.
        unlabelled = {"one_scan_a8": ["one_scan_a8"]} if name == "training" else {}
        assert {model: list(labels) for model, labels in found.items()} == unlabelled | {
            model: [label] for model, label in DIFFICULT.items()
        }
    latex = (fresh.results / "table2.tex").read_text(encoding="utf-8")
    assert r"& \$5\_ or \$6 \{model\} \%s &" in latex
    log = (fresh.results / "logs/plot_fig2.log").read_text(encoding="utf-8")
    assert log.count("label '_shuffle 神经'") <= 1  # none where a font has them

    noted = read_json(fresh.results / "similarity.json")
    assert noted["note"] == "Simulated scans: no neural recording was used."
    assert noted["weighting"]["units"] == "std"
    for path in fresh.results.glob("*.json"):
        # As if all but one had been made of recorded scans.
        if path.stem != "fig1":
            path.write_text(json.dumps(noted | {"note": "Partly simulated scans: 1 of 7."}))
    (fresh.results / "noise.json").unlink()
    other = fresh.overlay("other", {"reliability": {"units": "source"}})
    fresh.make("--report", "report.zip", configs=(*configs, other))
    with zipfile.ZipFile(fresh.folder / "report.zip") as archive:
        page = next(
            archive.read(name).decode() for name in archive.namelist() if name.endswith("report.html")
        )
    captions = {Path(path).stem: result["caption"] for path, result in embedded(page, "results").items()}
    assert "no neural recording was used" in captions["fig1"]
    assert "What this was made from is not known" in captions["noise"]
    for name, caption in captions.items():
        assert ("Partly simulated scans: 1 of 7." in caption) == (name not in ("fig1", "noise"))
    assert "units\n&quot;std&quot;" in captions["similarity"] or 'units\n"std"' in captions["similarity"]


def embedded(page, name):
    """What a script of a report holds for a browser, which reads up to the first end of a script."""
    script = page[page.index(f'<script id="{name}">') :]
    script = script[: script.index("</script>")]
    start = script.index(f"var {name} = ") + len(f"var {name} = ")
    return json.JSONDecoder().raw_decode(script, start)[0]


def test_a_size_that_becomes_another_ones_is_seen(finished):
    """Snakemake compares params as a set of values: 10 samples in batches of 10, once each, in 1 part."""
    finished.overlay("one", {"adversarial": {"samples": 1}})
    assert finished.planned(configs=("smoke", "one"))["search_adversarials"] == 4


def test_the_page_is_complete_and_says_what_the_files_say(finished):
    page = check_page(finished.results / "index.html")
    drawn = [attributes["aria-label"] for attributes in page.named("svg")]
    assert len(drawn) == len(set(drawn)) == len(FIGURES)
    assert "Simulated scans: no neural recording was used." in page.text
    for row in read_csv(finished.results / "claims.csv").to_dict("records"):
        assert " ".join(row["sentence"].split()) in page.text
        assert any(attributes.get("id") == f"claim-{row['claim']}" for attributes in page.named("tr"))
    for name in ("claims.csv", "table1.csv", "examples.svg", "classification.h5", "scans/simulated1.json"):
        assert f"{sha256(finished.results / name)} {name}" in page.text
    assert '"pairs_per_step": 4' in page.text  # of configs/smoke.yaml
    assert "train_model" in page.text


@pytest.mark.skipif(find_browser() is None, reason="no Chromium")
def test_a_browser_finds_nothing_wrong_with_the_page(finished, tmp_path):
    kept = Path(os.environ.get("NEUROREG_SCREENSHOTS", tmp_path))
    kept.mkdir(parents=True, exist_ok=True)
    path = finished.results / "index.html"
    with Browser(find_browser(), tmp_path) as browser:
        assert problems(browser, path) == []
        # Opened out, for what is folded away to be looked at, too.
        browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        for name, width, scheme in (("desk", 1280, "light"), ("phone", 390, "light"), ("dark", 1280, "dark")):
            browser.show(width, scheme=scheme)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            browser.screenshot(kept / f"{name}.png")


def test_fig2_alone_needs_neither_sweep_nor_noise(fresh):
    planned = fresh.planned("results/fig2.pdf")
    assert planned["train_model"] == 4
    unneeded = {"evaluate_noise", "plot_fig1", "plot_noise", "plot_training", "tabulate_claims"}
    assert not unneeded & set(planned)


@pytest.fixture
def papers(fresh):
    """A place in which the paper's config finds its folder of photographs."""
    (fresh.folder / "data" / "photographs").mkdir(parents=True)
    return fresh


def test_the_papers_jobs(papers):
    started = time.monotonic()
    planned = papers.planned(configs=("paper",))
    assert time.monotonic() - started < 15  # 5 s on a quiet machine; tests may share theirs
    assert planned["ingest_scan"] == planned["fit_response_model"] == planned["fit_baselines"] == 8
    # None at three seeds serves the sweep as alpha 0: 6 x 3 + 3 x 5 - 3.
    assert planned["train_model"] == planned["evaluate_noise"] == 30
    assert planned["search_adversarials"] == 3 * 5 * 10


def test_the_jobs_of_stronger_attacks(papers):
    assert "plot_tightening" not in papers.planned(configs=("paper",))
    planned = papers.planned(configs=("paper", "tightening"))
    assert planned["search_adversarials"] == 3 * 5 * (10 + 10)
    assert planned["plot_tightening"] == 1


def test_the_jobs_of_foolboxs_own_attacks(papers):
    assert papers.planned(configs=("paper", "foolbox"))["search_adversarials"] == 3 * 5 * 10


def test_the_pilots_jobs(papers):
    targets = "results/settings.csv", "results/convergence.pdf"
    planned = papers.planned(*targets, configs=("paper", "untrimmed", "pilot"))
    assert planned["train_model"] == 2
    assert planned["search_adversarials"] == 2 * 10
    assert planned["rank_settings"] == planned["plot_convergence"] == 1
    assert "plot_fig2" not in planned


def test_the_jobs_of_the_public_scans(fresh):
    planned = fresh.planned(configs=("paper", "public_scans"))
    assert planned["download_scan"] == planned["ingest_scan"] == planned["fit_response_model"] == 8
    assert "simulate_scan" not in planned
    assert planned["train_model"] == 30


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"noise": {"drawz": 2}}, "config key 'noise.drawz': unknown; did you mean 'draws'?"),
        ({"training": {"epochs": "many"}}, "config key 'training.epochs': found \"many\"; expected integer."),
        ({"stimuli": {"pool_size": 7}}, "config key 'stimuli.pool_size': found 7; expected at least 15"),
        (
            only_scan(source="recorded", path="data/absent.h5"),
            "config key 'scans[0].path': no file or folder 'data/absent.h5'; expected a recorded scan.",
        ),
    ],
)
def test_a_mistake_in_the_config_ends_with_one_sentence(fresh, overlay, message):
    fresh.overlay("wrong", overlay)
    result = fresh(configs=("smoke", "wrong"))
    assert result.returncode != 0
    assert f"Error: {message}" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3
    assert not fresh.results.exists()


def recorded(path, seed=1):
    """A small scan in the lab's static HDF5 layout; every seed has the same images."""
    from neuroreg.images.stimuli import make_stimuli
    from neuroreg.scans.static_hdf5 import write_static_hdf5
    from neuroreg.simulator.simulate import simulate_scan

    stimuli = make_stimuli("photographs", 40, 8, None, 1)
    simulated = simulate_scan(stimuli, n_neurons=5, oracle_repeats=3, seed=seed, name="recorded")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_static_hdf5(path, simulated.scan)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-2000])


def poison(path):
    with h5py.File(path, "r+") as file:
        file["responses"][3, 2] = np.nan


def of_another_kind(path):
    with h5py.File(path, "w") as file:
        file["something"] = np.zeros(3)


def no_hdf5(path):
    path.write_text("neuron,response\n1,0.5\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "data/mine.h5: is a truncated HDF5 file; expected"),
        (poison, "responses holds 1 values that are NaN or infinite, the first in trial 3; expected finite"),
        (of_another_kind, "data/mine.h5: no dataset 'images'; expected a scan in the static HDF5 layout"),
        (no_hdf5, "data/mine.h5: is a text file; expected a scan as static HDF5, or in the FileTree"),
    ],
)
def test_a_damaged_scan_ends_with_one_sentence(fresh, damage, message):
    path = fresh.folder / "data" / "mine.h5"
    recorded(path)
    damage(path)
    fresh.overlay("mine", only_scan(source="recorded", path="data/mine.h5"))
    result = fresh("results/scans/mine.h5", configs=("smoke", "mine"))
    assert result.returncode != 0
    sentences = [line for line in result.stderr.splitlines() if line.startswith("ingest_scan: ")]
    assert len(sentences) == 1
    assert message in sentences[0]
    assert "Traceback" not in result.stderr
    assert not list((fresh.results / "scans").glob("*"))


def test_neurons_are_selected_and_the_scan_is_summarised(fresh):
    recorded(fresh.folder / "data" / "mine.h5")
    with h5py.File(fresh.folder / "data" / "mine.h5", "r+") as file:
        file["neurons/layer"][1] = b"L4"
        file["tiers"][file["tiers"][()] == b"validation"] = b"final_test"
    fresh.overlay(
        "mine",
        only_scan(source="recorded", path="data/mine.h5")
        | {"neurons": {"layers": ["L2/3"], "min_oracle": -1.0}},
    )
    fresh.make("results/scans/mine.h5", configs=("smoke", "mine"))
    summary = read_json(fresh.results / "scans" / "mine.json")
    assert summary["neurons"]["dropped"] == {"area": 0, "layer": 1, "oracle": 0}
    assert summary["left_out_tiers"] == {"final_test": 4}
    with h5py.File(fresh.results / "scans" / "mine.h5") as file:
        assert file["neurons/unit_id"][()].tolist() == [1, 3, 4, 5]
        assert file["trials/responses"].shape[1] == 4
    log = (fresh.results / "logs/ingest_scan/mine.log").read_text()
    assert "scan 'mine': neurons: 5 read, 4 kept; dropped: 1 by layer; V1 5, L2/3 4, L4 1" in log
    assert "tier 'final_test' left out" in log

    fresh.overlay("mine", only_scan(source="recorded", path="data/mine.h5") | {"neurons": {"areas": ["LM"]}})
    result = fresh("results/scans/mine.h5", configs=("smoke", "mine"))
    assert result.returncode != 0
    assert "ingest_scan: scan 'mine': no neuron is in neurons.areas LM; it has area V1" in result.stderr

    poison(fresh.folder / "data" / "mine.h5")
    dropping = {"missing": "drop_neurons"}
    fresh.overlay("mine", only_scan(source="recorded", path="data/mine.h5") | dropping)
    fresh.make("results/scans/mine.h5", configs=("smoke", "mine"))
    assert read_json(fresh.results / "scans" / "mine.json")["missing"] == {"trials": {}, "neurons": 1}
    with h5py.File(fresh.results / "scans" / "mine.h5") as file:
        assert file["neurons/unit_id"][()].tolist() == [1, 2, 4, 5]


def test_a_recorded_scan_goes_the_whole_way(fresh):
    recorded(fresh.folder / "data" / "mine.h5")
    stimuli = {"source": "scan", "scan": "mine", "pool_size": 30}
    fresh.overlay("mine", only_scan(source="recorded", path="data/mine.h5") | {"stimuli": stimuli})
    fresh.make("results/similarity.pdf", configs=("smoke", "mine"))
    frame = pd.read_csv(fresh.results / "similarity.csv")
    assert set(frame["scan"]) == {"mine"}
    effective = frame[frame["panel"] == "neurons"]
    assert effective["units"].tolist() == ["std", "source"]
    assert effective["effective"].between(1, effective["neurons"]).all()
    with h5py.File(fresh.results / "similarity" / "neural.h5") as file:
        matrix = file["matrix"][()]
    assert matrix.shape == (30, 30)
    np.testing.assert_allclose(np.diag(matrix), 1)
    np.testing.assert_array_equal(matrix, matrix.T)


def test_a_pool_of_one_scan_lacks_what_another_repeats(fresh):
    scans = []
    for seed, name in enumerate("ab"):
        recorded(fresh.folder / "data" / f"{name}.h5", seed)
        scans.append({"name": name, "source": "recorded", "path": f"data/{name}.h5"})
    with h5py.File(fresh.folder / "data" / "b.h5", "r+") as file:
        first, second = np.flatnonzero(file["tiers"][()] == b"train")[:2]
        for name in ("images", "item_info/frame_image_id", "item_info/frame_image_class"):
            file[name][second] = file[name][first]
        for trial in (first, second):
            file["tiers"][trial] = b"test"
        key = b"/".join(file[f"item_info/frame_image_{part}"][first] for part in ("class", "id")).decode()
    kinds = {"neural": "denoised", "neural_one_scan": "denoised", "raw": "raw"}
    targets = [{"name": name, "kind": kind, "scans": ["a"]} for name, kind in kinds.items()]
    targets.append({"name": "shuffle", "kind": "shuffled", "of": "neural"})
    stimuli = {"source": "scan", "scan": "a", "pool_size": None}
    fresh.overlay("two", {"scans": scans, "targets": targets, "stimuli": stimuli})
    fresh.make("results/stimuli.h5", configs=("smoke", "two"))
    stimuli = read_record(fresh.results / "stimuli.h5", Stimuli)
    scan = read_record(fresh.results / "scans" / "a.h5", Scan)
    assert stimuli.key.tolist() == scan.key.tolist()
    assert set(stimuli.key[stimuli.oracle]) == {key, *scan.key[scan.repeated_images()]}
    assert key not in scan.key[scan.repeated_images()]


def test_a_pool_that_two_scans_share_and_its_raw_similarity(fresh):
    scans = []
    for seed, name in enumerate("ab"):
        recorded(fresh.folder / "data" / f"{name}.h5", seed)
        scans.append({"name": name, "source": "recorded", "path": f"data/{name}.h5"})
    neural = {"kind": "denoised", "scans": ["a", "b"]}
    targets = [{"name": name} | neural for name in ("neural", "neural_one_scan")]
    targets += [
        {"name": "raw", "kind": "raw", "scans": ["a", "b"]},
        {"name": "shuffle", "kind": "shuffled", "of": "raw"},
    ]
    stimuli = {"source": "intersection", "pool_size": None}
    fresh.overlay("two", {"scans": scans, "targets": targets, "stimuli": stimuli})
    shuffles = [f"results/similarity/{name}.h5" for name in ("shuffle", "shuffle/seed1", "shuffle/seed2")]
    fresh.make(*shuffles, "results/overlap.csv", configs=("smoke", "two"))
    assert not (fresh.results / "response_models").exists()
    with h5py.File(fresh.results / "stimuli.h5") as file:
        pool = file["key"].asstr()[()][~file["oracle"][()]]
    row = pd.read_csv(fresh.results / "overlap.csv").iloc[0]
    assert row["shared_keys"] == row["shared_pixels"] == len(pool) + 8
    assert row["conflicts"] == 0
    raw = read_record(fresh.results / "similarity/raw.h5", SimilarityMatrix)
    assert raw.scans == ("a", "b")
    orders = set()
    for path in shuffles:
        shuffle = read_record(fresh.folder / path, SimilarityMatrix)
        assert raw.key.tolist() == shuffle.key.tolist() == pool.tolist()
        assert shuffle.provenance["of"] == raw.provenance
        order = shuffle.permutation
        np.testing.assert_array_equal(shuffle.matrix, raw.matrix[np.ix_(order, order)])
        orders.add(tuple(order))
    assert len(orders) == 3


def test_every_training_seed_shares_a_shuffle_of_its_own(fresh):
    models = [
        f"results/models/{name}/seed{seed}/model.safetensors"
        for name in ("shuffle", "neural")
        for seed in (1, 2)
    ]
    planned = fresh.planned(*models)
    assert planned["shuffle_similarity"] == 2
    assert planned["average_similarity"] == 1
    assert planned["train_model"] == 4
    targets = yaml.safe_load((fresh.code / "configs" / "smoke.yaml").read_text())["targets"]
    next(target for target in targets if target["name"] == "shuffle")["permutation"] = "one"
    fresh.overlay("one", {"targets": targets})
    assert fresh.planned(*models, configs=("smoke", "one"))["shuffle_similarity"] == 1


def test_raw_targets_leave_out_what_a_scan_has_not_measured(finished):
    raw = read_record(finished.results / "similarity/raw.h5", SimilarityMatrix)
    neural = read_record(finished.results / "similarity/neural.h5", SimilarityMatrix)
    assert set(raw.key) < set(neural.key)
    assert raw.provenance["pool_images"] == len(neural.key)
    assert (raw.provenance["kind"], neural.provenance["kind"]) == ("raw", "denoised")


def test_features_of_weights_in_a_file(finished):
    import torch
    from safetensors.torch import save_file

    shapes = {
        0: (64, 3, 3, 3),
        2: (64, 64, 3, 3),
        5: (128, 64, 3, 3),
        7: (128, 128, 3, 3),
        10: (256, 128, 3, 3),
    }
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"features.{i}.weight": torch.randn(shape, generator=generator) / 10 for i, shape in shapes.items()
    }
    tensors |= {f"features.{i}.bias": torch.zeros(shape[0]) for i, shape in shapes.items()}
    save_file(tensors, finished.folder / "vgg.safetensors")
    targets = yaml.safe_load((finished.code / "configs/smoke.yaml").read_text())["targets"]
    targets.append({"name": "vgg", "kind": "features", "weights": "vgg.safetensors"})
    finished.overlay("vgg", {"targets": targets})
    finished.make("results/similarity/vgg.h5", configs=("smoke", "vgg"))
    vgg = read_record(finished.results / "similarity/vgg.h5", SimilarityMatrix)
    assert (
        vgg.key.tolist()
        == read_record(finished.results / "similarity/neural.h5", SimilarityMatrix).key.tolist()
    )
    assert vgg.provenance["weights_sha256"] == sha256(finished.folder / "vgg.safetensors")


def kill(running, script):
    """End the job that runs a script, as a scheduler would, and wait for Snakemake to give up."""
    for process in psutil.Process(running.pid).children(recursive=True):
        if any(script in part for part in process.cmdline()):
            process.kill()
    running.communicate()
    assert running.returncode != 0


def test_a_scan_is_downloaded_once(fresh, server, tmp_path, wait_until):
    """Through a kill, a lost folder of results, a checksum added to the config and a damaged file."""
    recorded(tmp_path / "scan")
    server.content = (tmp_path / "scan").read_bytes()
    half = len(server.content) // 2
    server.script = [server.stall(half)]
    source = {"source": "download", "url": server.url("static1-2-3")}
    fresh.overlay("mine", only_scan(**source))
    kept, target = fresh.folder / "data" / "scans" / "static1-2-3", "results/scans/mine.h5"

    def run(*arguments):
        return fresh(*arguments, configs=("smoke", "mine"))

    running = fresh.start(target, configs=("smoke", "mine"))
    part = kept.with_name("static1-2-3.part")
    wait_until(lambda: part.exists() and part.stat().st_size == half)
    kill(running, "download_scan.py")
    assert not list(fresh.results.rglob("*.json"))
    result = run(target)
    assert result.returncode == 0, result.stderr[-3000:]
    assert server.ranges == [None, f"bytes={half}-"]
    assert kept.read_bytes() == server.content
    with h5py.File(fresh.folder / target) as file:
        assert json.loads(file.attrs["config"])["format"] == "static_hdf5"
        assert list(json.loads(file.attrs["inputs"])) == ["static1-2-3"]

    shutil.rmtree(fresh.results)
    assert run(target).returncode == 0
    digest = kept.with_name("static1-2-3.sha256").read_text().split()[0]
    fresh.overlay("mine", only_scan(**source, sha256=digest))
    assert fresh.planned(target, configs=("smoke", "mine")) == {"download_scan": 1, "ingest_scan": 1}
    assert run(target, "--until", "download_scan").returncode == 0
    assert fresh.planned(target, configs=("smoke", "mine")) == {}
    assert len(server.requests) == 2

    os.utime(kept)
    assert fresh.planned(target, configs=("smoke", "mine")) == {}
    truncate(kept)
    os.utime(kept, (1e9, 1e9))
    assert fresh.planned(target, configs=("smoke", "mine")) == {"download_scan": 1, "ingest_scan": 1}
    result = run(target)
    assert result.returncode != 0
    assert (
        f"\ndownload_scan: data/scans/static1-2-3: SHA-256 {sha256(kept)}; expected {digest}" in result.stderr
    )
    assert kept.exists()
    kept.unlink()
    assert run(target, "--forcerun", "download_scan").returncode == 0
    assert len(server.requests) == 3
    assert kept.read_bytes() == server.content


def test_a_killed_training_job_goes_on_where_it_was(finished, fresh):
    model = "results/models/neural/seed1/model.safetensors"
    fresh.take_up(finished, "models", "attacks")
    resume = fresh.folder / "results/models/neural/seed1/resume_model.safetensors"
    running = fresh.start(model)
    while not resume.exists() and running.poll() is None:
        time.sleep(0.01)
    kill(running, "train_model.py")
    assert resume.exists()
    assert not (fresh.folder / model).exists()
    fresh.make(model)
    assert "going on after epoch" in (fresh.results / "logs/train_model/neural/seed1.log").read_text()
    assert (fresh.folder / model).read_bytes() == (finished.folder / model).read_bytes()
    assert not resume.exists()
