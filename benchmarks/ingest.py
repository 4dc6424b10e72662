"""Ingest of a scan of the paper's size against a plain read of the same bytes: speed and memory.

    python benchmarks/ingest.py --neurons 8000 --trials 6000

Builds a scan of random numbers as static HDF5 (36x64 images), FileTree folder and FileTree zip (144x256
images), one after the other, in a temporary folder (--folder chooses its disk; it needs about 2 GB). Each
measurement is a process of its own that starts with the files out of the page cache, where the system lets
them be dropped.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np

from neuroreg.files.records import write_record
from neuroreg.scans.filetree import read_filetree
from neuroreg.scans.scan import Scan
from neuroreg.scans.selection import select_neurons
from neuroreg.scans.static_hdf5 import read_static_hdf5
from neuroreg.scans.summary import summarise_scan

REPEATS = 10
FORMATS = {"static_hdf5": "scan.h5", "folder": "scan", "zip": "scan.zip"}


def columns(trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tier and the image of each trial: a sixth are repeats of test images."""
    repeated = trials // (6 * REPEATS)
    single = trials - REPEATS * repeated
    image = np.concatenate([np.repeat(np.arange(repeated), REPEATS), repeated + np.arange(single)])
    tier = np.full(trials, "train", "<U10")
    tier[-single // 10 :] = "validation"
    tier[: REPEATS * repeated] = "test"
    return tier, image


def random_trial(trial: int, image: int, neurons: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(trial)
    return {
        "images": np.random.default_rng([1, image]).integers(0, 256, (1, *size), np.uint8).astype(np.float32),
        "responses": rng.exponential(size=neurons),
        "behavior": rng.random(3),
        "pupil_center": rng.random(2),
    }


def build_hdf5(path: Path, neurons: int, trials: int) -> None:
    tier, image = columns(trials)
    with h5py.File(path, "w") as file:
        shapes = {"images": (1, 36, 64), "responses": (neurons,), "behavior": (3,), "pupil_center": (2,)}
        for kind, shape in shapes.items():
            file.create_dataset(kind, (trials, *shape), np.float32)
        file["tiers"], file["neurons/unit_ids"] = tier.astype("S"), np.arange(neurons)
        file["item_info/frame_image_id"] = image
        file["item_info/frame_image_class"] = np.array(["imagenet"] * trials, "S")
        for trial in range(trials):
            for kind, values in random_trial(trial, image[trial], neurons, (36, 64)).items():
                file[kind][trial] = values


def build_filetree(path: Path, neurons: int, trials: int) -> None:
    tier, image = columns(trials)
    archive = zipfile.ZipFile(path, "w") if path.suffix == ".zip" else None

    def write(name: str, values: np.ndarray) -> None:
        stream = io.BytesIO()
        np.save(stream, values)
        if archive:
            archive.writestr(name, stream.getvalue())
        else:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(stream.getvalue())

    for trial in range(trials):
        for kind, values in random_trial(trial, image[trial], neurons, (144, 256)).items():
            write(f"data/{kind}/{trial}.npy", values)
    write("meta/trials/tiers.npy", tier)
    write("meta/trials/frame_image_id.npy", image)
    write("meta/trials/frame_image_class.npy", np.array(["imagenet"] * trials))
    write("meta/neurons/unit_ids.npy", np.arange(neurons))
    if archive:
        archive.close()


def files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def drop_from_cache(path: Path) -> None:
    for file in files(path):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_read(path: Path) -> None:
    for file in files(path):
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass


def read(path: Path) -> Scan:
    return read_static_hdf5(path) if path.suffix == ".h5" else read_filetree(path)


def ingest(path: Path) -> None:
    """Do what the rule does, with a selection that looks at every neuron's repeats."""
    scan = read(path)
    selection = select_neurons("benchmark", scan, min_oracle=0.0)
    summarise_scan("benchmark", scan, selection)
    write_record(path.parent / "consolidated.h5", selection.scan, inputs=[path])


STEPS = {"plain read": plain_read, "read scan": read, "ingest": ingest}


def measure_step(step: str, path: Path) -> None:
    """Run one step; print its seconds and how many MiB its peak is above the imported interpreter's."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    STEPS[step](path)
    seconds = time.perf_counter() - begun
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def compare(path: Path) -> None:
    size = sum(file.stat().st_size for file in files(path)) / 1e6
    floor = None
    for step in STEPS:
        drop_from_cache(path)
        command = [sys.executable, __file__, "--measure", step, "--folder", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, memory = map(float, result.stdout.split())
        floor = floor or seconds
        print(
            f"{path.name:10} {size:7.0f} MB  {step:10} {seconds:6.2f} s {size / seconds:6.0f} MB/s "
            f"{seconds / floor:6.2f} x plain  {memory:6.0f} MiB above the interpreter",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--neurons", type=int, default=8000)
    parser.add_argument("--trials", type=int, default=6000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure_step(arguments.measure, arguments.folder)
        return
    for name in arguments.formats:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            path = Path(folder) / FORMATS[name]
            build = build_hdf5 if path.suffix == ".h5" else build_filetree
            build(path, arguments.neurons, arguments.trials)
            compare(path)


if __name__ == "__main__":
    main()
