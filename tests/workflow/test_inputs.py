"""What users bring is known by its content: from the command line, with real files."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

from neuroreg.errors import InputError
from neuroreg.files.storage import sha256
from neuroreg.images.stimuli import make_stimuli
from neuroreg.scans.static_hdf5 import write_static_hdf5
from neuroreg.simulator.simulate import simulate_scan
from neuroreg.workflow import inputs
from neuroreg.workflow.inputs import check_times, content_of

CLASSIFICATION, SCAN = "results/classification.h5", "results/scans/mine.h5"
YEAR = 365 * 24 * 3600


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two scans of the same size in the lab's layout."""
    folder = tmp_path_factory.mktemp("scans")
    stimuli = make_stimuli("photographs", 24, 6, None, 1)
    for seed in (1, 2):
        scan = simulate_scan(stimuli, n_neurons=3, oracle_repeats=3, seed=seed, name="mine").scan
        write_static_hdf5(folder / f"{seed}.h5", scan)
    return folder


@pytest.fixture
def folder(tmp_path):
    """A folder of images, of two classes."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            place = tmp_path / "images" / part / name
            place.mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 256, (40, 40), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path


def write_config(folder, scan="mine.h5", images="images"):
    targets = [
        {"name": name, "kind": "denoised", "scans": ["mine"]}
        for name in ("neural", "neural_one_scan", "shuffle", "raw")
    ]
    content = {
        "classification": {"source": "image_folder", "path": images, "train_size": None, "test_size": None},
        "adversarial": {"samples": 1},
        "scans": [{"name": "mine", "source": "recorded", "path": scan}],
        "targets": targets,
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def snakemake(root, folder, *arguments):
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", root / "Snakefile"]
    command += ["--directory", folder, "--cores", "1"]
    command += ["--configfile", root / "configs" / "smoke.yaml", folder / "mine.yaml"]
    return subprocess.run(command, capture_output=True, text=True)


def make(root, folder, *targets):
    done = snakemake(root, folder, *targets)
    assert done.returncode == 0, done.stderr[-3000:]


def planned(root, folder, *targets):
    done = snakemake(root, folder, *targets, "-n")
    assert done.returncode == 0, done.stderr[-3000:]
    rules = re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.MULTILINE)
    return {rule for rule in rules if rule != "total"}


def test_a_scan_replaced_by_an_older_one_is_read_again(root, scans, tmp_path):
    """As `cp -p` and `rsync -a` leave it."""
    write_config(tmp_path)
    (tmp_path / "images").mkdir()
    shutil.copy2(scans / "1.h5", tmp_path / "mine.h5")
    make(root, tmp_path, SCAN)
    assert planned(root, tmp_path, SCAN) == set()
    os.utime(tmp_path / "mine.h5")
    assert planned(root, tmp_path, SCAN) == set()

    os.utime(scans / "2.h5", (time.time() - YEAR, time.time() - YEAR))
    shutil.copy2(scans / "2.h5", tmp_path / "mine.h5")
    assert planned(root, tmp_path, SCAN) == {"ingest_scan"}
    make(root, tmp_path, SCAN)
    with h5py.File(tmp_path / SCAN) as made, h5py.File(scans / "2.h5") as given:
        measured = made["trials/responses"][()]
        assert np.isin(measured, given["responses"][()].astype(np.float32)).all()
    shutil.rmtree(tmp_path / ".snakemake" / "neuroreg")
    assert planned(root, tmp_path, SCAN) == set()


def test_a_folder_of_images_is_watched(root, folder):
    write_config(folder)
    (folder / "mine.h5").touch()
    make(root, folder, CLASSIFICATION)
    with h5py.File(folder / CLASSIFICATION) as made:
        assert json.loads(made.attrs["inputs"]) == {"images": sha256(folder / "images")}
    assert planned(root, folder, CLASSIFICATION) == set()
    first = folder / "images" / "train" / "cat" / "0.png"
    for change in (
        lambda: first.rename(first.with_name("9.png")),
        lambda: first.with_name("9.png").rename(first),
    ):
        change()
        again = planned(root, folder, CLASSIFICATION)
        assert again == ({"prepare_classification"} if not first.exists() else set())
    before = first.stat()
    other = folder / "images" / "train" / "dog" / "0.png"
    pixels = np.array(Image.open(first))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(first)
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert planned(root, folder, CLASSIFICATION) == {"prepare_classification"}
    make(root, folder, CLASSIFICATION)
    for touched in (first, other):
        os.utime(touched)
    (folder / "images" / "notes.txt").write_text("not an image")
    (folder / "images" / "train" / ".hidden").mkdir()
    shutil.copy(other, folder / "images" / "train" / ".hidden" / "1.png")
    assert planned(root, folder, CLASSIFICATION) == set()
    shutil.copy(other, other.with_name("more.png"))
    assert planned(root, folder, CLASSIFICATION) == {"prepare_classification"}


@pytest.mark.parametrize("name", ["神经 {scan} {{x}} %s", "{seed}{x,.+}$HOME'\"*?[a]{"])
def test_any_name_of_a_path_works(root, scans, folder, name):
    """Snakemake takes braces for wildcards; shells and formats take others for something else."""
    place = folder / name
    place.mkdir()
    shutil.copy(scans / "1.h5", place / "mine.h5")
    (folder / "images").rename(place / "images")
    write_config(folder, scan=f"{name}/mine.h5", images=f"{name}/images")
    make(root, folder, SCAN, CLASSIFICATION)
    assert planned(root, folder, SCAN, CLASSIFICATION) == set()


@pytest.mark.parametrize("late", ["mine.h5", "results/stimuli.h5"])
def test_a_time_stamp_in_the_future_is_told_at_the_start_and_its_remedy_helps(root, scans, folder, late):
    write_config(folder)
    shutil.copy(scans / "1.h5", folder / "mine.h5")
    path = folder / late
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("made")
    os.utime(path, (time.time() + YEAR, time.time() + YEAR))
    done = snakemake(root, folder, SCAN, "-n")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"Error: {late}: its time stamp, 20") and "is in the future" in last
    assert "Traceback" not in done.stderr
    remedy = re.search(r"else '(.*)'\.$", last)[1]
    subprocess.run(remedy, shell=True, cwd=folder, check=True)
    assert planned(root, folder, SCAN) == {"ingest_scan"}


def test_clocks_that_differ_by_seconds_are_no_fault(tmp_path, config):
    results = tmp_path / "results"
    results.mkdir()
    (results / "fresh").touch()
    os.utime(results / "fresh", (time.time() + 5, time.time() + 5))
    check_times(config, results)
    os.utime(results / "fresh", (time.time() + 600, time.time() + 600))
    with pytest.raises(InputError, match="fresh: its time stamp"):
        check_times(config, results)


def test_an_unreadable_folder_is_told_at_the_start(root, folder):
    write_config(folder)
    (folder / "mine.h5").touch()
    loop = folder / "images" / "train" / "cat" / "loop"
    loop.symlink_to(folder / "images" / "train" / "cat")
    done = snakemake(root, folder, CLASSIFICATION, "-n")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and "a link to a folder above it" in last
    assert "Traceback" not in done.stderr
    assert not Path(folder / "results").exists()


def external_link(path, source):
    with h5py.File(path, "w") as file:
        file["group/responses"] = h5py.ExternalLink(source.name, "values")


def virtual_dataset(path, source):
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(source.name, "values", shape=(3,))
    with h5py.File(path, "w") as file:
        file.create_group("a").create_virtual_dataset("responses", layout)


def raw_file(path, source):
    with h5py.File(path, "w") as file:
        file.create_dataset("responses", (3,), "f8", external=[(source.name, 0, 24)])


def through_another(path, source):
    between = path.with_name("between.h5")
    virtual_dataset(between, source)
    with h5py.File(path, "w") as file:
        file["responses"] = h5py.ExternalLink(between.name, "a/responses")
        file["again"] = file.create_group("round")
        file["round/up"] = file["/"]


@pytest.mark.parametrize("kept", [external_link, virtual_dataset, raw_file, through_another])
def test_what_a_scan_keeps_in_other_files_is_its_content(config, tmp_path, monkeypatch, kept):
    monkeypatch.chdir(tmp_path)
    source, path = tmp_path / "source.h5", tmp_path / "scan.h5"
    config["scans"] = [{"name": "mine", "source": "recorded", "path": str(path)}]

    def digest():
        inputs._content.cache_clear()
        return content_of(config, "scans[0].path")

    def write(value):
        if kept is raw_file:
            source.write_bytes(np.full(3, value).tobytes())
        else:
            with h5py.File(source, "w", track_order=False) as file:
                file["values"] = np.full(3, value)
        os.utime(source, (1e9, 1e9))

    write(1.0)
    kept(path, source)
    before = digest()
    assert digest() == before
    write(2.0)
    assert digest() != before
    write(1.0)
    assert digest() == before
    source.unlink()
    assert digest() != before
    assert content_of(config, "scans[0].path") is not None
    assert content_of(config, "scans[1].path") is None


def test_only_what_has_no_checksum_of_its_own_is_watched(config):
    assert [one.key for one in inputs.brought(config)] == []
    config["classification"] |= {"source": "cifar10", "path": "data"}
    assert list(inputs.brought(config)) == []
