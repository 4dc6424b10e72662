"""Configs and files that are damaged, as users hand them to the command line, and what must come of each."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bad_scans
import damage
import h5py
import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "configs" / "smoke.yaml"
NAME = "mine.yaml"
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Outcome:
    """What became of a case: its kind, what was damaged, the sentence, and what is wrong with the end."""

    kind: str
    what: str
    sentence: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One call of the command line on a damaged input.

    Attributes
    ----------
    kind, what
        For the table.
    text
        Of the user's overlay, as it stands in its file.
    make
        Makes what the config names, in the folder of the run.
    arguments
        Of the command line: ``-n``, or targets.
    names
        What the sentence must name.
    """

    kind: str
    what: str
    text: str | bytes = ""
    make: Callable[[Path], object] = field(default=lambda folder: None)
    arguments: tuple[str, ...] = ("-n",)
    names: str = ""


def call(folder, *arguments, configs=()):
    """The command as a user gives it in a folder: its exit code and all that it says."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", ROOT / "Snakefile"]
    command += ["--cores", "2", *(["--configfile", *configs] if configs else [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="backslashreplace")


def results(folder):
    """The bytes of all files below results, by name, but for logs and benchmarks."""
    place = folder / "results"
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.relative_to(place).parts[0] not in ("logs", "benchmarks")
    }


def check(code, said, sentences, names, before, after, made=()):
    """What is wrong with an end: nothing, if it is as it must be."""
    if code == 0:
        yield "exit code 0"
    if "Traceback" in said:
        yield "a traceback"
    if len(sentences) != 1:
        yield f"{len(sentences)} sentences"
    for sentence in sentences:
        if sentence.startswith(SNAKEMAKES):
            continue
        if names not in sentence:
            yield f"does not name {names}"
        if not re.search(r"expected|did you mean|needs it|asked for|run the same command", sentence):
            yield "does not say what was expected"
        if len(sentence) > 2500 or not sentence.isprintable():
            yield "no line for a terminal"
    if half := [name for name in after if "partial" in name or name in made]:
        yield f"left half written: {', '.join(half)}"
    if lost := [name for name, content in before.items() if after.get(name) != content]:
        yield f"lost or changed: {', '.join(lost)}"


def told_at_the_start(said):
    return [line.removeprefix("Error: ") for line in said.splitlines() if line.startswith("Error: ")]


SNAKEMAKES = ("Config file must be given as JSON or YAML", "Config file is not valid JSON or YAML")
"""What Snakemake says by itself, before anything of this project runs, and without the file's name."""


def told_by_snakemake(said):
    return [line for line in said.splitlines() if line.startswith(SNAKEMAKES)]


RULES = "|".join(path.stem for path in (ROOT / "workflow_scripts").glob("*.py"))


def told_by_jobs(said):
    """What jobs say in their last line: the log that is shown after it has the same with the time before."""
    return [line for line in said.splitlines() if re.match(rf"({RULES}): ", line)]


def run_case(case, folder):
    """Run one case in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    case.make(folder)
    text = case.text if isinstance(case.text, bytes) else case.text.encode()
    (folder / NAME).write_bytes(text)
    before = results(folder)
    code, said = call(folder, *case.arguments, configs=(SMOKE, NAME))
    sentences = told_at_the_start(said) or told_by_jobs(said) or told_by_snakemake(said)
    made = [one.removeprefix("results/") for one in case.arguments if one.startswith("results/")]
    faults = check(code, said, sentences, case.names, before, results(folder), made)
    sentence = " / ".join(sentences).replace(f"{folder.resolve()}/", "")
    return Outcome(case.kind, case.what, sentence, tuple(faults))


# Configs.


def value(key, found, expected_name=None):
    """A case of one key with a wrong value."""
    inner = found
    for part in reversed(key.split(".")):
        inner = {part: inner}
    text = yaml.safe_dump(inner, allow_unicode=True)
    return Case("value", f"{key}: {shown(found)}", text, names=expected_name or key)


def shown(found):
    return yaml.safe_dump(found, default_flow_style=True, width=1000).strip().removesuffix("\n...")


VALUES = [
    ("seed", "x"),
    ("seed", -1),
    ("seed", 1.5),
    ("seed", True),
    ("seed", None),
    ("device", "tpu"),
    ("device", ["cpu"]),
    ("devices", []),
    ("devices", [0, 0]),
    ("devices", "0,1"),
    ("classification", None),
    ("classification", "digits"),
    ("classification.source", "mnist"),
    ("classification.train_size", 0),
    ("classification.train_size", "all"),
    ("classification.download", "yes please"),
    ("classification.path", "somewhere"),
    ("stimuli.source", "photos"),
    ("stimuli.pool_size", 1),
    ("stimuli.pool_size", 5),
    ("stimuli.oracle_size", 2),
    ("stimuli.crop", "middle"),
    ("scans", []),
    ("scans", None),
    ("scans", [{"name": "a", "source": "simulated"}]),
    ("scans", [{"name": "a b", "source": "simulated", "n_neurons": 3}]),
    ("scans", [{"name": "../up", "source": "simulated", "n_neurons": 3}]),
    ("scans", [{"name": "a", "source": "simulated", "n_neurons": 0}]),
    ("scans", [{"name": "a", "source": "simulated", "n_neurons": 3, "path": "x.h5"}]),
    ("scans", [{"name": "a", "source": "recorded"}]),
    ("scans", [{"name": "a", "source": "recorded", "path": 5}]),
    ("scans", [{"name": "a", "source": "download", "url": "file:///etc/passwd"}]),
    ("scans", [{"name": "a", "source": "download", "url": "https://x.org/a.zip", "sha256": "abc"}]),
    ("scans", [{"name": "a", "source": "download", "url": "https://x.org/a.zip", "file": "../a.zip"}]),
    ("scans", [{"source": "simulated", "n_neurons": 3}]),
    ("scans", [{"name": "a", "n_neurons": 3}]),
    ("scans", [{"name": "a", "source": "drawn", "n_neurons": 3}]),
    ("scans", ["simulated1"]),
    ("missing", "ignore"),
    ("simulator.oracle_repeats", 1),
    ("simulator.mean_oracle", 1.0),
    ("simulator.shared_noise", 1e5),
    ("simulator.dropped_fraction", -0.1),
    ("neurons.areas", "V1"),
    ("neurons.min_oracle", 2),
    ("response_model.channels", 0),
    ("response_model.input_kernel", 4),
    ("response_model.spread", 1e39),
    ("response_model.learning_rate", 0),
    ("response_model.learning_rate", "1e-3"),
    ("response_model.patience", 2.5),
    ("reliability.units", "variance"),
    ("reliability.weight_exponent", 0),
    ("reliability.weight_exponent", 2000),
    ("reliability.weight_exponent", float("nan")),
    ("targets", []),
    ("targets", [{"name": "neural", "kind": "denoised", "scans": ["nobody"]}]),
    ("targets", [{"name": "neural", "kind": "noised", "scans": ["simulated1"]}]),
    ("targets", [{"name": "neural", "kind": "denoised", "scans": []}]),
    ("targets", [{"name": "vgg", "kind": "features", "weights": "no_such.pth"}]),
    ("targets", [{"name": "mine", "kind": "given"}]),
    ("targets", [{"name": "mine", "kind": "given", "path": "no_such.h5"}]),
    ("targets", [{"name": "s", "kind": "shuffled", "of": "nothing"}]),
    ("network.architecture", "resnet50"),
    ("network.width", -8),
    ("training.epochs", 0),
    ("training.epochs", 10.0),
    ("training.epochs", "ten"),
    ("training.batch_size", 1),
    ("training.learning_rate", -0.1),
    ("training.learning_rate", float("inf")),
    ("training.momentum", 1),
    ("training.validation_fraction", 1),
    ("training.crop_padding", 40),
    ("training.fisher_z", "arctanh"),
    ("training.precision", "float16"),
    ("training.compile", "no"),
    ("models", []),
    ("models", [{"name": "a", "target": None, "alpha": -1.0}]),
    ("models", [{"name": "a", "target": "nothing", "alpha": 1.0}]),
    ("models", [{"name": "a", "alpha": 1.0}]),
    ("models", [{"name": "a", "target": None, "alpha": 0.0}] * 2),
    ("models", [{"name": name, "target": None, "alpha": 0.0} for name in "aA"]),
    ("models", [{"name": "x" * 101, "target": None, "alpha": 0.0}]),
    ("models", [{"name": "a", "label": "two\nlines", "target": None, "alpha": 0.0}]),
    ("models", [{"name": "a", "label": " ", "target": None, "alpha": 0.0}]),
    ("sweep.models", ["nobody"]),
    ("sweep.models", "none"),
    ("sweep.seeds", []),
    ("sweep.seeds", [1, 1]),
    ("sweep.seeds", ["one"]),
    ("conditions.models", ["none", "nobody"]),
    ("conditions.seeds", [-1]),
    ("noise.sigmas", [-0.1]),
    ("noise.sigmas", []),
    ("noise.sigmas", 0.1),
    ("noise.draws", 0),
    ("noise.clip", True),
    ("adversarial.samples", 0),
    ("adversarial.samples", 5000),
    ("adversarial.parts", 11),
    ("adversarial.trim_tolerance", -1),
    ("adversarial.trim_passes", 0),
    ("adversarial.attacks", []),
    ("adversarial.attacks", [{"name": "a", "method": "guess", "settings": [{}]}]),
    ("adversarial.attacks", [{"name": "a", "method": "pgd", "settings": []}]),
    ("adversarial.attacks", [{"name": "a", "method": "pgd", "settings": [{"stepz": 5}]}]),
    ("adversarial.attacks", [{"name": "a", "method": "pgd", "settings": [{"steps": 0}]}]),
    ("adversarial.attacks", [{"name": "a", "method": "pgd", "settings": [{"steps": 10**400}]}]),
    ("adversarial.attacks", [{"name": "a", "method": "pgd", "settings": {"steps": 5}}]),
    ("cluster.max_minutes", 0),
    ("trainig", {"epochs": 3}),
    ("training.epochz", 3),
]
# Of these the sentence names another key, of which the one given is a part or which it does not fit.
_OTHER_KEY = {
    ("stimuli.pool_size", 5): "stimuli.pool_size",
    ("classification.path", "somewhere"): "classification.path",
}


def _case_of_value(key, found):
    return value(key, found, _OTHER_KEY.get((key, found if not isinstance(found, list | dict) else None)))


_GONE = "".join(f"  - {{name: simulated{n}, source: recorded, path: no_such.h5}}\n" for n in (1, 2))
TEXTS = [
    ("scans that are not there", f"scans:\n{_GONE}", "no_such.h5"),
    ("a key twice", "training: {epochs: 2}\ntraining: {batch_size: 8}\n", "'training' in line 1 and again"),
    ("a key twice, further in", "noise:\n  draws: 1\n  draws: 2\n", "'noise.draws' in line 2 and again"),
    ("a bracket too few", "noise: {draws: 1\n", NAME),
    ("a tab before a key", "noise:\n\tdraws: 1\n", NAME),
    ("a list in place of keys", "- noise\n- draws\n", NAME),
    ("a word in place of keys", "noise\n", NAME),
    ("a web page", "<!DOCTYPE html><html><body>404</body></html>\n", NAME),
    ("two documents", "noise: {draws: 1}\n---\nnoise: {draws: 2}\n", NAME),
    ("a date as a name", "models:\n  - {name: 2024-01-01, target: null, alpha: 0.0}\n", "models[0].name"),
    ("a number as a name", "models:\n  - {name: 5, target: null, alpha: 0.0}\n", "models[0].name"),
    ("a number as a key", "5: 1\n", "key 5"),
    ("null as a key", "noise: {null: 1}\n", "'noise'"),
    ("a set", "noise: {sigmas: !!set {0.1}}\n", "noise.sigmas"),
    ("code for Python", "seed: !!python/object/apply:os.system ['touch executed']\n", NAME),
    ("binary text", "device: !!binary Y3B1\n", "device"),
    ("an alias that holds itself", "scans: &a [*a]\n", "scans"),
    (
        "aliases of aliases",
        "".join(
            f"k{i}: &k{i} [{', '.join(f'*k{i - 1}' for _ in range(9)) if i else '1'}]\n" for i in range(9)
        ),
        "k",
    ),
    ("400 brackets", "seed: " + "[" * 400 + "]" * 400 + "\n", "seed"),
    ("YAML's no for text", "device: no\n", "device"),
    ("an escape code as a name", 'device: "\\e[31mred"\n', "device"),
    ("format characters", 'device: "{0.__class__} %s $HOME `id`"\n', "device"),
    ("a half character", 'device: "\\ud800"\n', ""),
    ("a merge with nothing", "noise: {<<: 5, draws: 1}\n", NAME),
]
ARGUMENTS = [
    ("seed", ("--config", "seed=x"), "'seed'"),
    ("an unknown key", ("--config", "sed=1"), "'sed'"),
    ("a value of a mapping", ("--config", "training={epochs: 0}"), "'training.epochs'"),
    ("a mapping lost", ("--config", "training=5"), "'training'"),
]
CONFIGS = [
    *(_case_of_value(key, found) for key, found in VALUES),
    *(Case("text", what, text, names=names) for what, text, names in TEXTS),
    *(
        Case(
            "command line",
            " ".join(arguments),
            "device: cpu\n",
            arguments=("-n", *arguments),
            names=names,
        )
        for _, arguments, names in ARGUMENTS
    ),
]


# Files. Many in one run, each read by a job of its own, since what starts most jobs is one command.


@dataclass(frozen=True)
class Damaged:
    """A file that one job of a run reads.

    Attributes
    ----------
    kind, what
        For the table.
    name
        Of the entry of the config, or of the file.
    make
        Makes it in a folder, and returns its path.
    """

    kind: str
    what: str
    name: str
    make: Callable[[Path], Path]


def ending(folder, damaged, paths, overlay, targets, log):
    """Run a config that names damaged files; the outcome of each, by the log of the job that reads it.

    Parameters
    ----------
    folder
        Of the run.
    damaged
        What it reads.
    paths
        Of each, as the config names it or as it is found: what the sentence must name.
    overlay
        The config, or nothing for none but the smoke config.
    targets
        What is asked for; the files that must not be there when all has ended.
    log
        Where the job of a file's name writes its log, as a pattern.
    """
    (folder / NAME).write_text(yaml.safe_dump(overlay, allow_unicode=True))
    before = results(folder)
    # The damaged files themselves are changed in place.
    code, said = call(folder, *targets, configs=(SMOKE, NAME))
    after = results(folder)
    for one, path, target in zip(damaged, paths, targets, strict=True):
        place = folder / log.format(name=one.name)
        rule = Path(log).parts[2].removesuffix(".log")
        lines = place.read_text().splitlines() if place.is_file() else []
        sentence = lines[-1].split(" ", 2)[-1] if lines else ""
        # Jobs and Snakemake write at the same time, so that a line of one may begin in one of another's.
        sentences = [sentence] if f"{rule}: {sentence}\n" in said else []
        faults = check(code, said, sentences, str(path), before, after, (target.removeprefix("results/"),))
        yield Outcome(one.kind, one.what, sentence, tuple(faults))


def end_scans(folder, damaged):
    """Scans, as `bad_scans` makes them, in one run."""
    paths = []
    for one in damaged:
        place = folder / one.name
        place.mkdir(parents=True)
        paths.append(one.make(place).relative_to(folder))
    overlay = {
        "scans": [
            {"name": one.name, "source": "recorded", "path": str(path)}
            for one, path in zip(damaged, paths, strict=True)
        ],
        "targets": [
            {"name": name, "kind": "denoised", "scans": [damaged[0].name]}
            for name in ("neural", "neural_one_scan", "shuffle", "raw")
        ],
    }
    targets = [f"results/scans/{one.name}.h5" for one in damaged]
    yield from ending(folder, damaged, paths, overlay, targets, "results/logs/ingest_scan/{name}.log")


# Told before any job starts, or larger than a test should be.
_NOT_GROUPED = (
    "flip",
    "zip_bomb",
    "named_pipe",
    "device",
    "link_pipe",
    "link_device",
    "hdf5_many",
    "hdf5_gzip",
)
SCANS = [
    Damaged("scan", what, name, make)
    for name, (_, what, make) in bad_scans.CASES.items()
    if not name.startswith(_NOT_GROUPED)
][::3]


def similarity(path, **changes):
    """A file of kind similarity over the pool of the smoke config's stimuli, with some datasets replaced."""
    with h5py.File(path.parent / "results" / "stimuli.h5") as file:
        key = file["key"][()][~file["oracle"][()]]
    matrix = np.eye(len(key), dtype=np.float32)
    parts = {"matrix": matrix, "key": key, "scans": np.array([], "S1")} | changes
    with h5py.File(path, "w") as file:
        file.attrs.update({"kind": "similarity", "schema_version": 2, "config": "{}", "inputs": "{}"})
        for name, values in parts.items():
            if callable(values):
                values = values(key if name == "key" else matrix.copy())
            if values is not None:
                text = np.asarray(values).dtype.kind in "SOU"
                file.create_dataset(
                    name, data=values, dtype=h5py.string_dtype() if text else np.asarray(values).dtype
                )
    return path


def filled(value):
    def change(matrix):
        matrix[3, 4] = matrix[4, 3] = value
        return matrix

    return change


def one_sided(matrix):
    matrix[3, 4] = 0.5
    return matrix


def attribute(path, name, value):
    similarity(path)
    with h5py.File(path, "r+") as file:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value
    return path


def bytes_of(content):
    def make(path):
        path.write_bytes(content)
        return path

    return make


def part_of(make, share):
    """The beginning of a good file."""

    def cut(path):
        make(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return cut


_MATRICES = {
    "an empty file": bytes_of(b""),
    "a text": bytes_of(b"0.1 0.2\n"),
    "a web page": bytes_of(b"<!DOCTYPE html><html></html>"),
    "an array of NumPy": bytes_of(b"\x93NUMPY\x01\x00"),
    "a tenth of the file": part_of(similarity, 0.1),
    "half of the file": part_of(similarity, 0.5),
    "all but its last bytes": part_of(similarity, 0.99),
    "NaN in it": lambda path: similarity(path, matrix=filled(np.nan)),
    "infinity in it": lambda path: similarity(path, matrix=filled(np.inf)),
    "a similarity of 2": lambda path: similarity(path, matrix=filled(2.0)),
    "not symmetric": lambda path: similarity(path, matrix=one_sided),
    "zeros on its diagonal": lambda path: similarity(path, matrix=lambda matrix: matrix * 0),
    "float64": lambda path: similarity(path, matrix=lambda matrix: matrix.astype(np.float64)),
    "integers": lambda path: similarity(path, matrix=lambda matrix: matrix.astype(np.int32)),
    "text for numbers": lambda path: similarity(path, matrix=np.array([["a"]], "S1")),
    "not square": lambda path: similarity(path, matrix=lambda matrix: matrix[:-1]),
    "three dimensions": lambda path: similarity(path, matrix=lambda matrix: matrix[None]),
    "no matrix": lambda path: similarity(path, matrix=None),
    "no keys": lambda path: similarity(path, key=None),
    "keys too few": lambda path: similarity(path, key=lambda key: key[:-1]),
    "a key twice": lambda path: similarity(path, key=lambda key: np.array([*key[:-1], key[0]])),
    "keys of other images": lambda path: similarity(path, key=lambda key: np.array([b"x/" + k for k in key])),
    "numbers for keys": lambda path: similarity(path, key=lambda key: np.arange(len(key))),
    "two images": lambda path: similarity(path, key=lambda key: key[:2], matrix=lambda m: m[:2, :2]),
    "of kind stimuli": lambda path: attribute(path, "kind", "stimuli"),
    "without a kind": lambda path: attribute(path, "kind", None),
    "of a version to come": lambda path: attribute(path, "schema_version", 99),
    "without what made it": lambda path: attribute(path, "config", None),
    "what made it no JSON": lambda path: attribute(path, "config", "{"),
}
MATRICES = [Damaged("similarity", what, f"m{n}", make) for n, (what, make) in enumerate(_MATRICES.items())]


def weights(path, change=lambda state: None):
    """The first convolutions of a VGG19, all zero, changed."""
    sizes = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
    state = {}
    for index, (before, after) in sizes.items():
        state[f"features.{index}.weight"] = torch.zeros(after, before, 3, 3)
        state[f"features.{index}.bias"] = torch.zeros(after)
    change(state)
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    return path


def put(name, tensor):
    return lambda path: weights(path, lambda state: state.update({name: tensor}))


_LAST = "features.10.bias"
_WEIGHTS = {
    ("pth", "an empty file"): bytes_of(b""),
    ("pth", "half of the file"): part_of(weights, 0.5),
    ("pth", "a web page"): bytes_of(b"<html>404</html>"),
    ("pth", "a pickle that runs a command"): bytes_of(b"cos\nsystem\n(S'touch executed'\ntR."),
    ("pth", "a tensor missing"): lambda path: weights(path, lambda state: state.pop(_LAST)),
    ("pth", "NaN"): put(_LAST, torch.full((256,), torch.nan)),
    ("pth", "another shape"): put(_LAST, torch.zeros(255)),
    ("pth", "complex numbers"): put(_LAST, torch.zeros(256, dtype=torch.complex64)),
    ("pth", "a sparse tensor"): put(_LAST, torch.zeros(256).to_sparse()),
    ("pth", "a list for a tensor"): put(_LAST, [0.0] * 256),
    ("pth", "quantized numbers"): put(_LAST, torch.quantize_per_tensor(torch.zeros(256), 1, 0, torch.qint8)),
    ("safetensors", "an empty file"): bytes_of(b""),
    ("safetensors", "half of the file"): part_of(weights, 0.5),
    ("safetensors", "a pickle"): lambda path: (torch.save({}, path), path)[1],
    ("safetensors", "a tensor missing"): lambda path: weights(path, lambda state: state.pop(_LAST)),
    ("safetensors", "infinity"): put(_LAST, torch.full((256,), torch.inf)),
    ("safetensors", "another shape"): put(_LAST, torch.zeros(16, 16)),
    ("safetensors", "whole numbers"): put(_LAST, torch.zeros(256, dtype=torch.int64)),
}
WEIGHTS = [
    Damaged("weights", f"{form}, {what}", f"w{n}.{form}", make)
    for n, ((form, what), make) in enumerate(_WEIGHTS.items())
]


def end_targets(folder, damaged):
    """Given matrices and weights in one run, after the stimuli are there."""
    code, said = call(folder, "results/stimuli.h5", configs=(SMOKE,))
    assert code == 0, said[-2000:]
    targets, paths, done = [], [], []
    for one in damaged:
        given = one.kind == "similarity"
        path = folder / (f"{one.name}.h5" if given else one.name)
        one.make(path)
        paths.append(path.name)
        done.append(Damaged(one.kind, one.what, one.name.partition(".")[0], one.make))
        key = {"kind": "given", "path": path.name} if given else {"kind": "features", "weights": path.name}
        targets.append({"name": done[-1].name} | key)
    smoke = yaml.safe_load(SMOKE.read_text())["targets"]
    asked = [f"results/similarity/{one.name}.h5" for one in done]
    rule = "take_similarity" if damaged[0].kind == "similarity" else "measure_feature_similarity"
    log = f"results/logs/{rule}/{{name}}.log"
    yield from ending(folder, done, paths, {"targets": [*smoke, *targets]}, asked, log)
    assert not (folder / "executed").exists()


# Folders of images: one to a config, and so one run each.


def picture(path, size=(80, 60), mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size[::-1], len(mode)) if len(mode) > 1 else size[::-1]
    Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(path, **options)


def images(folder, change=lambda images: None):
    """A folder of two classes, changed."""
    place = folder / "images"
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(3):
                picture(place / part / name / f"{number}.png")
    change(place)


def in_place(name, content):
    return lambda images: (images / name).write_bytes(content)


def cut(images):
    path = images / "train" / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:300])


def without(*names):
    def change(images):
        for name in names:
            for path in sorted((images / name).rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            (images / name).rmdir()

    return change


_FOLDERS = {
    "an empty picture": (in_place("train/cat/1.png", b""), "train/cat/1.png"),
    "a picture cut off": (cut, "train/cat/1.png"),
    "a text called .png": (in_place("train/cat/1.png", b"not a picture"), "train/cat/1.png"),
    "a web page called .jpg": (in_place("train/cat/1.jpg", b"<!DOCTYPE html><html>"), "train/cat/1.jpg"),
    "a pointer of Git LFS": (
        in_place("train/cat/1.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "train/cat/1.png",
    ),
    "a picture of 32 bits": (
        lambda images: Image.fromarray(np.zeros((9, 9), np.int32)).save(images / "train/cat/1.tiff"),
        "train/cat/1.tiff",
    ),
    "no folder test": (without("test"), "images"),
    "a class without pictures": (
        lambda images: [path.unlink() for path in (images / "train/cat").iterdir()],
        "train/cat",
    ),
    "a class in train alone": (without("test/cat"), "images"),
    "one class": (without("train/cat", "test/cat"), "images/train"),
    "no classes": (without("train/cat", "test/cat", "train/dog", "test/dog"), "images/train"),
    "a link to the folder above": (
        lambda images: (images / "train/cat/up").symlink_to(images / "train"),
        "train/cat/up",
    ),
    "a name that is not UTF-8": (
        lambda images: (images / "train/cat/1.png").rename(
            os.fsdecode(bytes(images / "train/cat") + b"/\xff.png")
        ),
        "train/cat",
    ),
}
FOLDERS = [
    Case(
        "images",
        what,
        "classification: {source: image_folder, path: images, train_size: null, test_size: null}\n"
        "adversarial: {samples: 1}\n",
        lambda folder, change=change: images(folder, change),
        ("results/classification.h5",),
        names,
    )
    for what, (change, names) in _FOLDERS.items()
]


def photographs(folder, change):
    """A folder of eighteen pictures, changed."""
    for number in range(18):
        picture(folder / "images" / "cat" / f"{number}.png")
    change(folder / "images")


_PHOTOGRAPHS = {
    "too few": (lambda place: [(place / f"cat/{number}.png").unlink() for number in range(6)], "images"),
    "one cut off": (
        lambda place: (place / "cat/1.png").write_bytes((place / "cat/1.png").read_bytes()[:300]),
        "images/cat/1.png",
    ),
    "one of 9x9 pixels": (lambda place: picture(place / "cat/1.png", (9, 9)), "images/cat/1.png"),
    "two of equal names": (
        lambda place: ((place / "cat/0.png").unlink(), picture(place / "other/cat/1.png")),
        "same key 'cat/1'",
    ),
    "in a folder whose name is not UTF-8": (
        lambda place: (place / "cat").rename(os.fsdecode(bytes(place) + b"/\xff")),
        "images/\\xff",
    ),
}
FOLDERS += [
    Case(
        "images",
        f"photographs, {what}",
        "stimuli: {source: image_folder, path: images, pool_size: 15, oracle_size: 3}\n"
        "training: {pairs_per_step: 2}\n",
        lambda folder, change=change: photographs(folder, change),
        ("results/stimuli.h5",),
        names,
    )
    for what, (change, names) in _PHOTOGRAPHS.items()
]


# Results that a later stage reads. One good file is made by the command line and put in several places.


def deed(what):
    """What damages a file as `damage.damages` calls it."""

    def make(path):
        found = dict(damage.damages(path))
        found[what]()
        return path

    return make


_SCAN_RESULTS = (
    *("empty", "cut in half", "zeros", "a web page", "trials/responses missing", "trials/responses NaN"),
    *("trials/responses text", "trials/responses one too few", "trials/tier numbers", "images a group"),
    *("neurons/unit_id with a dimension more", "attribute kind missing", "attribute schema_version a number"),
)
_MODEL_RESULTS = (
    *("empty", "cut in half", "zeros", "a web page", "bn1.bias missing", "bn1.bias NaN"),
    *(
        "bn1.bias with a dimension more",
        "text network missing",
        "text network no JSON",
        "text network a list",
    ),
)
SCAN_RESULTS = [
    Damaged("result", f"results/scans/<scan>.h5, {what}", f"r{n}", deed(what))
    for n, what in enumerate(_SCAN_RESULTS)
]
MODEL_RESULTS = [
    Damaged("result", f"results/models/<model>/seed1/model.safetensors, {what}", f"t{n}", deed(what))
    for n, what in enumerate(_MODEL_RESULTS)
]


def end_results(folder, damaged):
    """Scans or models as a run has made them, damaged, in one run of what reads them."""
    scans = damaged[0] in SCAN_RESULTS
    names = ["good", *(one.name for one in damaged)]
    if scans:
        overlay = {
            "scans": [{"name": name, "source": "recorded", "path": "scan.h5"} for name in names],
            "targets": [
                {"name": name, "kind": "denoised", "scans": ["good"]}
                for name in ("neural", "neural_one_scan", "shuffle", "raw")
            ],
        }
        bad_scans.hdf5(folder).rename(folder / "scan.h5")
        pattern, asked = "results/scans/{}.h5", "results/baselines/{}.json"
        log = "results/logs/fit_baselines/{name}.log"
    else:
        smoke = yaml.safe_load(SMOKE.read_text())["models"]
        more = [{"name": name, "target": None, "alpha": 0.0} for name in names]
        overlay = {"models": [*smoke, *more], "training": {"epochs": 1}}
        pattern, asked = "results/models/{}/seed1/model.safetensors", "results/noise/{}/seed1.csv"
        log = "results/logs/evaluate_noise/{name}/seed1.log"
    (folder / NAME).write_text(yaml.safe_dump(overlay))
    code, said = call(folder, pattern.format("good"), configs=(SMOKE, NAME))
    assert code == 0, said[-2000:]
    good = folder / pattern.format("good")
    paths = []
    for one in damaged:
        path = folder / pattern.format(one.name)
        for part in good.parent.iterdir() if not scans else (good, good.with_suffix(".json")):
            place = path.with_name(part.name) if not scans else path.with_suffix(part.suffix)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(part.read_bytes())
        one.make(path)
        paths.append(pattern.format(one.name))
    targets = [asked.format(one.name) for one in damaged]
    yield from ending(folder, damaged, paths, overlay, targets, log)


GROUPS = (
    (end_scans, SCANS),
    (end_targets, MATRICES),
    (end_targets, WEIGHTS),
    (end_results, SCAN_RESULTS),
    (end_results, MODEL_RESULTS),
)
CASES = [*CONFIGS, *FOLDERS]


def run_all(folder):
    """Yield the outcomes of all cases, in the order of the table."""
    for number, case in enumerate(CASES):
        yield run_case(case, folder / f"case{number}")
    for number, (end, damaged) in enumerate(GROUPS):
        place = folder / f"group{number}"
        place.mkdir(parents=True)
        yield from end(place, damaged)


KINDS = {
    "value": "Values of the config",
    "command line": "Values on the command line",
    "text": "Texts that are no config",
    "images": "Folders of images",
    "scan": "Scans",
    "similarity": "Given similarity matrices",
    "weights": "Weights of VGG19",
    "result": "Results that a later stage reads",
}


def tables(outcomes):
    """What stands in docs/bad_input.md: a table for each kind."""

    def cell(text):
        # Neither Markdown nor HTML, whatever stands in the sentence.
        plain = re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", text)
        return plain if len(plain) <= 700 else f"{plain[:600]} ... {plain[-60:]}"

    lines = []
    for kind, title in KINDS.items():
        rows = [one for one in outcomes if one.kind == kind]
        if rows:
            lines += [f"## {title} ({len(rows)})", "", "| what was damaged | what is said |", "| --- | --- |"]
            lines += [f"| {cell(one.what)} | {cell(one.sentence)} |" for one in rows]
            lines.append("")
    return "\n".join(lines)
