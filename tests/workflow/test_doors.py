"""Every reading of what users bring, or of what a later stage takes from an earlier: damage is refused.

What reads is found in the code, and each such place is either tried here with a file damaged in all ways that
`damage` knows, or named with the reason why it need not be.
"""

import ast
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from damage import damages, restore
from figure_frames import LABELS, distances
from lab_files import write_hdf5
from made_up_tries import attack_result
from PIL import Image
from safetensors.torch import save_file
from training_problems import run

from neuroreg.analysis.checks import read_runs
from neuroreg.analysis.distances import load_distances
from neuroreg.download.obtain import record_download, recorded_file
from neuroreg.errors import InputError, naming
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.scores import BASELINES_FORM, SCORE_FORM, score_table
from neuroreg.files.records import read_record, write_record
from neuroreg.files.refusals import refusal
from neuroreg.files.resume import Progress, ResumeFile
from neuroreg.files.storage import read_json, sha256, write_csv, write_json
from neuroreg.images.classification import ClassificationData, read_image_folder
from neuroreg.images.photographs import folder_stimuli
from neuroreg.images.stimuli import Stimuli
from neuroreg.page import tables
from neuroreg.page.frames import read_frames
from neuroreg.response_model.files import load_response_model, load_weighting, save_response_model
from neuroreg.response_model.fit import FittedResponseModel, empty_model
from neuroreg.response_model.reliability import NeuronQuality
from neuroreg.response_model.settings import FitSettings
from neuroreg.robustness.attack_result import AttackResult, load_attacks
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.scans.loading import load_scan
from neuroreg.scans.scan import Scan
from neuroreg.similarity.denoised import PredictedResponses
from neuroreg.similarity.features import load_vgg_weights
from neuroreg.similarity.given import given_similarity
from neuroreg.similarity.matrix import SimilarityMatrix, centred_cosine
from neuroreg.simulator.truth import SimulatedTruth
from neuroreg.training.checkpoints import load_model, save_model
from neuroreg.training.export import export_model, load_exported
from neuroreg.workflow.describe import describe_file
from neuroreg.workflow.yaml_checks import check_text

RNG = np.random.default_rng(0)
KEY = np.array([f"c/{number}" for number in range(9)])
STIMULI = Stimuli(RNG.integers(0, 256, (9, 36, 64), np.uint8), KEY, np.arange(9) >= 7)
SIMILARITY = SimilarityMatrix(centred_cosine(RNG.normal(size=(7, 30))), KEY[:7], (), {"kind": "mine"})


def floats(*shape):
    return RNG.random(shape).astype(np.float32)


def scan():
    image = np.array([0, 1, 2, 3, 4, 5, 6, 6, 7, 7])
    tier = np.array(["train"] * 4 + ["validation"] * 2 + ["test"] * 4)
    arrays = floats(10, 3), floats(10, 3), floats(10, 2), np.arange(3)
    return Scan(STIMULI.images[:8], KEY[:8], image, tier, *arrays)


RECORDS = {
    Stimuli: lambda: STIMULI,
    SimilarityMatrix: lambda: SIMILARITY,
    Scan: scan,
    ClassificationData: lambda: ClassificationData(
        *(part for _ in range(2) for part in (RNG.integers(0, 256, (6, 32, 32), np.uint8), np.arange(6) % 2)),
        np.array(["cat", "dog"]),
    ),
    PredictedResponses: lambda: PredictedResponses(
        KEY[:7], floats(7, 3), KEY[7:], floats(2, 3), floats(3), floats(3), floats(3) + 1
    ),
    NoiseCounts: lambda: NoiseCounts(np.array([0.0, 0.1]), RNG.integers(0, 4, (2, 5)), 3),
    AttackResult: lambda: attack_result(0),
    SimulatedTruth: lambda: SimulatedTruth(KEY, floats(9, 3), 0.1, 0.2, RNG.random(3), RNG.random(3)),
}


class Door(NamedTuple):
    """A reading: the name of its file, what makes a good one there, what reads it, and what is no damage.

    `passes` is a pattern of damages that leave what is read as good as it was, or that cannot be seen;
    `names` is what a sentence may name in place of the file.
    """

    file: str
    make: object
    read: object
    passes: str = "nothing"
    names: str = ""


def vgg(path):
    sizes = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
    state = {}
    for index, (before, after) in sizes.items():
        state[f"features.{index}.weight"] = torch.zeros(after, before, 3, 3)
        state[f"features.{index}.bias"] = torch.zeros(after)
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)


@cache
def trained():
    return run()


def model(path):
    names = [f"digit {number}" for number in range(10)]
    save_model(path, trained().model, trained().similarity, names)


@cache
def exported_bytes():
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model(path)
        export_model(path, path.with_suffix(".pt2"))
        return path.with_suffix(".pt2").read_bytes()


def exported(path):
    path.write_bytes(exported_bytes())


def response_model(path):
    settings = FitSettings(channels=2, contexts=3)
    fitted = FittedResponseModel(empty_model(3, 3, settings), settings, [{"epoch": 1}], 0.5)
    quality = NeuronQuality(*(floats(3) for _ in range(4)), "test", floats(3), floats(3))
    paths = path.with_suffix(".safetensors"), path.with_suffix(".json")
    save_response_model(*paths, fitted, quality)


def baselines(path):
    one = {name: [0.1, None, 0.3] for name in ("single_trial_correlation", "correlation_to_average", "feve")}
    one |= {"oracle": None, "summary": {"tier": "test", "neurons": 3, "validation_correlation": 0.1}}
    write_json(path, {"linear_nonlinear": one, "ridge": one})


def scores(model=None, simple=None):
    """The table of scores, as its script makes it, of the file given and a good one beside it."""
    paths = model or simple.with_name("good.json"), simple or model.with_name("good.json")
    made = [response_model, baselines]
    for path, given, make in zip(paths, (model, simple), made, strict=True):
        if not given:
            make(path)
    contents = (read_json(path, form) for path, form in zip(paths, (SCORE_FORM, BASELINES_FORM), strict=True))
    return score_table([("one", *contents)])


def summary(path):
    content = {
        "scan": "simulated1",
        "neurons": {"kept": 7, "read": 9},
        "trials": {"train": 3, "test": 2},
        "images": {"count": 4, "different": 4, "sha256": "0" * 64},
    }
    write_json(path, content)


def history(path):
    columns = {"epoch": [1, 2, 3], "validation_loss": [3.0, 2.0, 2.5], "gamma_1": [0.5, 0.4, 0.3]}
    write_csv(path, pd.DataFrame(columns))


def drawn(path):
    with naming(path):
        fig2(load_distances(path), LABELS)


def photograph(path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = path.parents[2] / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(2):
                pixels = RNG.integers(0, 256, (40, 64), np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}{part}{number}.png")
    path.write_bytes(path.with_name("cattrain0.png").read_bytes())


def lab_scan(path):
    image = np.arange(12)
    image[-2:] = image[-4:-2]
    parts = {
        "images": RNG.integers(0, 256, (12, 1, 36, 64))[image].astype(np.float32),
        "responses": floats(12, 4),
        "behavior": floats(12, 3),
        "pupil_center": floats(12, 2),
        "tiers": np.array(["train"] * 5 + ["validation"] * 3 + ["test"] * 4),
        "image_id": image,
        "image_class": np.array(["imagenet"] * 12),
        "unit_ids": np.arange(4),
        "area": np.array(["V1"] * 4),
        "layer": np.array(["L2/3"] * 4),
    }
    write_hdf5(path, parts)


# The attributes created_by and inputs are for people.
_RECORD = r"attribute (created_by|inputs|config) .*"
_RECORDS_PASS = {
    SimilarityMatrix: r"attribute (created_by|inputs) .*|scans (one too few|empty|not UTF-8)",
    # NaN in place of an adversarial where none was found; NaN distances are a matter of load_attacks, so that
    # recheck can say where they are.
    AttackResult: _RECORD + r"|(best_adversarial|distance)/\w+ NaN",
    SimulatedTruth: _RECORD + r"|\w+ NaN",  # read by people alone; w is NaN without repeats
    Scan: _RECORD + r"|trials/(left_out|missing_tier) .*|neurons/missing_unit .*",
}
# What torch takes in any case: a counter that nothing uses, and a number in brackets.
_COUNTERS = ".*num_batches_tracked (missing|with.*)"
DOORS = {
    f"read_record {cls.__name__}": Door(
        "x.h5",
        lambda path, make=make: write_record(path, make()),
        lambda path, cls=cls: read_record(path, cls),
        _RECORDS_PASS.get(cls, _RECORD),
    )
    for cls, make in RECORDS.items()
} | {
    "load_scan, one of the workflow's": Door(
        "x.h5", lambda path: write_record(path, scan()), load_scan, _RECORDS_PASS[Scan]
    ),
    # What else a lab's file may lack or hold: tests/helpers/bad_scans.py.
    "load_scan": Door("x.h5", lab_scan, load_scan, "(behavior|pupil_center|item_info.*|neurons.*) .*"),
    "given_similarity": Door(
        "x.h5",
        lambda path: write_record(path, SIMILARITY),
        lambda path: given_similarity(path, STIMULI),
        _RECORDS_PASS[SimilarityMatrix],
    ),
    "load_vgg_weights": Door("vgg.safetensors", vgg, load_vgg_weights),
    "load_vgg_weights, .pth": Door("vgg.pth", vgg, load_vgg_weights),
    "load_model": Door(
        "model.safetensors", model, load_model, "similarity.*|.*num_batches_tracked (missing|with.*)"
    ),
    "load_exported": Door("model.pt2", exported, load_exported),
    "load_response_model": Door(
        "model.safetensors",
        response_model,
        load_response_model,
        ".*num_batches_tracked (missing|with.*)|image_.* with.*",
    ),
    "load_weighting": Door(
        "model.json",
        response_model,
        load_weighting,
        r"(summary|settings|history|oracle|feve|single_trial_corr|correlation_to).*",
    ),
    "score_table, response model": Door(
        "model.json",
        response_model,
        lambda path: scores(model=path),
        r"(settings|history|[wv]|summary\.(mean|epochs|fraction|neurons)).*|"
        r"(oracle|feve|correlation_to_average) nothing|summary.validation_correlation (a number|nothing)|"
        "summary.tier a text",
        "scan 'one'",
    ),
    "score_table, baselines": Door(
        "baselines.json",
        baselines,
        lambda path: scores(simple=path),
        r"\w+\.(summary\.neurons .*|(oracle|feve|correlation_to_average) nothing|"
        r"summary\.validation_correlation (a number|nothing))",
        "scan 'one'",
    ),
    "scan_table": Door(
        "summary.json",
        summary,
        lambda path: tables.scan_table([read_json(path, tables.SUMMARY)], {"simulated1": "simulated"}),
        r"trials\.\w+ missing|images.sha256 a text",
        "summary of the scan 'x'",
    ),
    "recorded_file": Door(
        "record.json",
        lambda path: (
            path.with_name("scan").write_text("scan"),
            record_download(
                path, path.with_name("scan"), sha256(path.with_name("scan")), "https://example.org"
            ),
        ),
        recorded_file,
        "url .*",
        "x: no such file",
    ),
    "load_attacks": Door(
        "attack.h5",
        lambda path: write_record(path, attack_result(0)),
        lambda path: list(load_attacks([path])),
        _RECORD + r"|best_adversarial/\w+ NaN",
    ),
    "load_distances": Door(
        "distances.csv", lambda path: write_csv(path, distances()), drawn, "(attack|label|without_last) .*"
    ),
    "read_runs": Door(
        "history.csv", history, lambda path: read_runs([path], [{"model": "a"}]), "gamma_1 missing"
    ),
    "read_frames": Door(
        "convergence.csv",
        lambda path: path.write_text("norm,verdict\nl0,all well\nl1,\nl2,\nlinf,\n"),
        lambda path: read_frames({"convergence": path}),
        # Of a table cut after a line nothing shows; the verdicts are sentences.
        "cut in half|verdict (empty|of texts|with a gap)",
    ),
    "read_image_folder": Door(
        "train/cat/x.png", photograph, lambda path: read_image_folder(path.parents[2]), "missing|a folder"
    ),
    "folder_stimuli": Door(
        "train/cat/x.png", photograph, lambda path: folder_stimuli(path.parents[2], 8, 1), "missing|a folder"
    ),
    "describe_file": Door("x.h5", lambda path: write_record(path, SIMILARITY), describe_file, ".*"),
    "describe_file, a network": Door("model.pt2", exported, describe_file),
    "describe_file, weights": Door("vgg.safetensors", vgg, describe_file, ".*"),
    "check_text": Door(
        "config.yaml", lambda path: path.write_text("seed: 1\nscans: []\n"), check_text, "empty|a web page"
    ),
}


def told(error):
    """The sentence that a job ends with, None for a traceback."""
    return str(error) if isinstance(error, InputError) else refusal(error)


@pytest.mark.parametrize("name", DOORS)
def test_a_damaged_file_is_refused_in_a_sentence_that_names_it(tmp_path, name):
    door = DOORS[name]
    path = tmp_path / door.file
    path.parent.mkdir(parents=True, exist_ok=True)
    door.make(path)
    content = path.read_bytes()
    door.read(path)
    wrong, refused = [], 0
    for what, deed in list(damages(path)):
        deed()
        try:
            door.read(path)
        except Exception as error:
            sentence = told(error)
            refused += 1
            if sentence is None:
                wrong.append((what, repr(error)[:200]))
            elif (
                not any(name and name in sentence for name in (path.name, door.names))
                or "\n" in sentence
                or len(sentence) > 2100
            ):
                wrong.append((what, sentence))
        else:
            if not re.fullmatch(door.passes, what):
                wrong.append((what, "taken as good"))
        restore(path, content)
    door.read(path)
    assert wrong == [], "\n".join(map(str, wrong))
    assert refused >= 5


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.to(torch.complex64),
        lambda tensor: torch.quantize_per_tensor(tensor, 1.0, 0, torch.qint8),
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor.tolist(),
        lambda tensor: tensor.to(torch.int32).fill_(2**31 - 1)[:1],
        lambda tensor: torch.nested.nested_tensor([tensor]),
    ],
)
def test_tensors_of_other_kinds_are_refused_as_weights(tmp_path, change):
    path = tmp_path / "vgg.pth"
    vgg(path)
    state = torch.load(path)
    torch.save(state | {"features.0.bias": change(state["features.0.bias"])}, path)
    with pytest.raises(InputError, match=r"vgg\.pth: ('features.0.bias'|not readable as weights)") as caught:
        load_vgg_weights(path)
    assert "\n" not in str(caught.value)


# What is called to read a file. A function that calls one of these is a door.
_READING = {
    *("read_record", "read_fields", "open_h5", "open_foreign_h5", "read_mapping", "read_json", "read_csv"),
    *("open_weights", "reading_weights", "safe_open", "load_file", "h5py.File", "zipfile.ZipFile"),
    *("tarfile.open", "Image.open"),
    *("torch.load", "torch.export.load", "np.load", "np.fromfile", "np.memmap", "np.loadtxt", "pd.read_csv"),
    *("np.lib.format.read_array", "read_text", "read_bytes", "open", "json.load", "pickle.load"),
    *("pickle.loads", "ElementTree.parse", "yaml.safe_load", "yaml.compose", "DictReader"),
}
_HERE = "tests/workflow/test_doors.py"
_OWN = "reads what belongs to the project, not what users bring"
_WRITES = "opens for writing"
# Where each door is tried, or why not.
_TRIED = {
    "analysis/checks.py read_runs": _HERE,
    "analysis/distances.py load_distances": _HERE,
    "devices.py _hold": _WRITES,
    "download/obtain.py _noted": "tests/download/test_obtain.py",
    "download/obtain.py recorded_file": _HERE,
    "download/transfer.py _Part.locked": _WRITES,
    "download/transfer.py _Part.version": "a damaged one counts as none: tests/download/test_obtain.py",
    "download/transfer.py _attempt": "opens an address: tests/download/test_obtain.py",
    "files/content.py _recall": "a damaged one counts as none: tests/files/test_content.py",
    "files/content.py sha256_of_file": "any bytes have a digest",
    "files/h5_stream.py H5Stream.__init__": _WRITES,
    "files/kinds.py check_archive": "tests/download/test_obtain.py",
    "files/kinds.py head": "any bytes have a beginning",
    "files/records.py read_fields": _HERE,
    "files/records.py read_record": _HERE,
    "files/resume.py ResumeFile.load": "a damaged one counts as none: below",
    "files/storage.py new_h5": _WRITES,
    "files/storage.py open_foreign_h5": _HERE,
    "files/storage.py open_h5": _HERE,
    "files/storage.py read_csv": _HERE,
    "files/storage.py read_json": _HERE,
    "files/storage.py was_made_from": "a damaged one counts as none: tests/files/test_storage.py",
    "files/usage.py read_usage": "a damaged one counts as not known: tests/page/test_provenance.py",
    "files/usage.py told_usage": _OWN,
    "files/weights.py open_weights": _HERE,
    "files/weights.py reading_weights": _HERE,
    "images/folders.py open_image": _HERE,
    "page/build.py _caption": _OWN,
    "page/build.py _data": _HERE,
    "page/build.py make_page": _HERE,
    "page/drawings.py inline_svg": "tests/page/test_drawings.py",
    "page/frames.py read_frames": _HERE,
    "page/provenance.py _measured": "a damaged one counts as not known: tests/page/test_provenance.py",
    "page/provenance.py _processor": _OWN,
    "response_model/files.py load_response_model": _HERE,
    "response_model/files.py load_weighting": _HERE,
    "robustness/attack_result.py load_attacks": _HERE,
    "declared.py declared": _OWN,
    "robustness/recheck.py _origin": _HERE,
    "robustness/recheck.py _provenance": _HERE,
    "robustness/recheck.py recheck": _HERE,
    "robustness/searches.py search_attacks": _HERE,
    "scans/filetree.py _stored_files": "tests/scans/test_bad_scans.py",
    "scans/filetree.py _FileTree.load": "tests/scans/test_bad_scans.py",
    "scans/hdf5_sources.py source_files": "tests/scans/test_bad_scans.py",
    "scans/hdf5_sources.py check_content": "tests/scans/test_bad_scans.py",
    "scans/loading.py _is_own": _HERE,
    "scans/loading.py load_scan": _HERE,
    "scans/shown_images.py load_shown_images": _HERE,
    "scans/static_hdf5.py read_static_hdf5": _HERE,
    "similarity/features.py load_vgg_weights": _HERE,
    "similarity/given.py given_similarity": _HERE,
    "similarity/raw.py": _HERE,
    "training/checkpoints.py load_model": _HERE,
    "training/programs.py _is_pickle": "words a refusal, by any bytes",
    "training/programs.py load_program": _HERE,
    "training/programs.py read_program": _HERE,
    "workflow/captions.py noted": "a damaged one counts as none: tests/workflow/test_captions.py",
    "workflow/describe.py _weights": _HERE,
    "workflow/describe.py describe_file": _HERE,
    "workflow/digests.py": _OWN,
    "workflow/generate.py": _OWN,
    "workflow/inputs.py replaced_download": "a damaged one counts as none, and is refused by recorded_file",
    "workflow/screen.py": "shows what is there, after all is done: tests/workflow/test_screen.py",
    "workflow/sizes.py read_paper": _OWN,
    "workflow/slurm.py": "shows what is there",
    "workflow/status.py Job.last_lines": "any bytes have an end: tests/workflow/test_status.py",
    "workflow/yaml_checks.py check_text": _HERE,
}


def readings(root):
    """Each function of the library that reads a file, and what it calls for that."""
    for path in sorted((root / "src" / "neuroreg").rglob("*.py")):
        place = path.relative_to(root / "src" / "neuroreg").as_posix()
        pending = [("", node) for node in ast.parse(path.read_text()).body]
        while pending:
            name, node = pending.pop()
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = f"{name}.{node.name}" if name else node.name
                if isinstance(node, ast.ClassDef):
                    pending += [(name, one) for one in node.body]
                    continue
            for call in ast.walk(node):
                if isinstance(call, ast.Call):
                    called = ast.unparse(call.func)
                    if called in _READING or called.rpartition(".")[2] in _READING:
                        yield place, name, called


def test_every_reading_in_the_library_is_tried_or_has_a_reason_not_to_be(root):
    found = {(place, name) for place, name, _ in readings(root)}
    known = lambda place, name: {place, f"{place} {name}"} & set(_TRIED)  # noqa: E731
    assert sorted(f"{place} {name}" for place, name in found if not known(place, name)) == []
    unused = set(_TRIED) - {one for place, name in found for one in known(place, name)}
    assert unused == set()


def test_a_damaged_state_of_an_unfinished_run_counts_as_none(tmp_path):
    path = tmp_path / "resume.safetensors"
    data = [np.arange(3)]
    with ResumeFile(path, "code") as resume:
        assert resume.load({"seed": 1}, data) == Progress()
        resume.save(Progress([{"epoch": 1.0}], 0, {"model": {"x": torch.arange(3.0)}}))
        content = path.read_bytes()
        assert resume.load({"seed": 1}, data).history == [{"epoch": 1.0}]
        for what, deed in list(damages(path)):
            deed()
            try:
                found = resume.load({"seed": 1}, data)
            except OSError as error:
                assert what == "a folder" and "is a folder" in refusal(error)
            else:
                # Other tensors under the run's own fingerprint are taken for the run's.
                assert found == Progress() or what.startswith("model/x"), what
            restore(path, content)
