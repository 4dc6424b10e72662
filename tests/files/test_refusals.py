"""What the system refuses: real full disks, missing rights, missing locks."""

import errno
import os
import re
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from disks import fill, small_disk
from rights import without_rights

from neuroreg.figures.style import new_figure, save_figure, style
from neuroreg.files.refusals import refusal
from neuroreg.files.storage import (
    open_foreign_h5,
    read_csv,
    read_json,
    write_csv,
    write_h5,
    write_json,
    write_text,
)
from neuroreg.files.weights import open_weights, write_weights

HELPERS = Path(__file__).parents[1] / "helpers"
NUMBERS = np.random.default_rng(0).random(300_000)


def draw(path):
    """A figure of over a megabyte, whatever the format: noise does not get smaller by packing."""
    pixels = np.random.default_rng(0).integers(0, 256, (800, 900, 3), np.uint8)
    with style():
        figure = new_figure(1, 3)
        figure.subplots().imshow(pixels, interpolation="none")
    save_figure(path, figure)


WRITERS = {
    "h5": lambda path: write_h5(path, "test", {"x": NUMBERS, "names": np.array(["a", "b"])}),
    "safetensors": lambda path: write_weights(path, {"x": torch.from_numpy(NUMBERS)}, {}),
    "csv": lambda path: write_csv(path, [{"x": x} for x in NUMBERS[:100_000]]),
    "txt": lambda path: write_text(path, "line\n" * 400_000),
    "json": lambda path: write_json(path, {"x": NUMBERS[:100_000].tolist()}),
    "pdf": draw,
    "svg": draw,
    "png": draw,
}
SIZED = ("h5", "safetensors", "pdf", "svg", "png")  # whose size is known before they are written


def told(function, *arguments):
    """The sentence for what a call raises."""
    with pytest.raises(Exception) as caught:
        function(*arguments)
    return refusal(caught.value)


@contextmanager
def files_up_to(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path, capfd, kind):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(b"before")
    # Writing there ends as on a disk without room, whatever the file system.
    (tmp_path / f".x.partial.{kind}").symlink_to("/dev/full")
    sentence = told(WRITERS[kind], path)
    assert re.fullmatch(no_room(path, kind), sentence)
    if kind in ("h5", "safetensors"):
        assert " for its 2.4 MB;" in sentence
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"
    assert capfd.readouterr().err == ""


def no_room(path, kind):
    """The sentence for a full disk, as a pattern."""
    size = r" for its [1-9]\d*\.\d MB" if kind in SIZED else ""
    told = rf"no space left on its disk{size}; free some, then run the same command again\."
    return rf"{re.escape(str(path))}: {told}"


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("free", [0, 40_000])
def test_on_a_disk_that_is_really_full_and_then_freed(tmp_path, capfd, kind, free):
    with small_disk(tmp_path / "disk", 8_000) as disk:
        path = disk / f"x.{kind}"
        path.write_bytes(b"before")
        fill(disk / "filler", free)
        assert re.fullmatch(no_room(path, kind), told(WRITERS[kind], path))
        assert sorted(file.name for file in disk.iterdir()) == ["filler", path.name]
        assert path.read_bytes() == b"before"
        (disk / "filler").unlink()
        WRITERS[kind](path)
        assert [file.name for file in disk.iterdir()] == [path.name]
        assert path.stat().st_size > 1_000_000
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("limit", [1, 3000, 1_000_000])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_is_cut_short_is_never_seen(tmp_path, capfd, kind, limit):
    path = tmp_path / f"x.{kind}"
    with files_up_to(limit):
        sentence = told(WRITERS[kind], path)
    assert sentence.startswith(f"{path}: larger than a file may be here")
    assert not list(tmp_path.iterdir())
    WRITERS[kind](path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert capfd.readouterr().err == ""


def test_many_datasets_on_a_full_disk_do_not_crash_hdf5(tmp_path):
    """As HDF5 does by itself, which writes the head of each dataset once more when it is closed."""
    datasets = {f"g{i}/x{j}": np.full(50, i) for i in range(60) for j in range(30)}
    code = (
        "import sys, numpy as np; from neuroreg.files.storage import write_h5\n"
        "from neuroreg.files.refusals import refusal\n"
        "datasets = {f'g{i}/x{j}': np.full(50, i) for i in range(60) for j in range(30)}\n"
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n    write_h5(sys.argv[1], 'test', datasets)\n"
        "except OSError as error:\n    print(refusal(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.h5"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path / 'x.h5'}: larger than a file may be here for its 0.7 MB")
    write_h5(tmp_path / "x.h5", "test", datasets)
    with h5py.File(tmp_path / "x.h5") as file:
        assert all((file[name][()] == values).all() for name, values in datasets.items())


@pytest.mark.parametrize("kind", WRITERS)
def test_missing_rights_are_told_by_the_file(kind):
    with without_rights() as folder:
        path = folder / f"x.{kind}"
        WRITERS[kind](path)
        path.chmod(0)
        pictures = dict.fromkeys(("pdf", "svg", "png"), Path.read_bytes)
        readers = pictures | {"csv": read_csv, "json": read_json, "txt": Path.read_text}
        opened = {"h5": lambda path: open_foreign_h5(path, "x").__enter__(), "safetensors": weights_of}
        expected = "no permission; expected the right to read it, or to write it and in its folder."
        assert told((readers | opened)[kind], path) == f"{path}: {expected}"
        folder.chmod(0o500)
        other = folder / f"y.{kind}"
        assert told(WRITERS[kind], other) == f"{other}: {expected}"
        nested = folder / "new" / f"y.{kind}"
        assert told(WRITERS[kind], nested) == f"{nested}: {expected}"
        folder.chmod(0o700)


def weights_of(path):
    with open_weights(path) as file:
        return file.keys()


def test_a_drive_without_locks_is_told_with_the_remedy(tmp_path):
    path = tmp_path / "x.h5"
    write_h5(path, "test", {"x": np.arange(3)})
    code = (
        "import sys; from no_locks import take_locks_away\n"
        "from neuroreg.files.refusals import refusal; from neuroreg.files.storage import open_h5, write_h5\n"
        "take_locks_away()\n"
        "write_h5(sys.argv[2], 'test', {})\n"
        "try:\n    with open_h5(sys.argv[1], 'test') as file: print(file['x'][2])\n"
        "except OSError as error: print(refusal(error))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(HELPERS)])}
    environment.pop("HDF5_USE_FILE_LOCKING", None)
    command = [sys.executable, "-c", code, path, tmp_path / "y.h5"]
    answers = [
        subprocess.run(command, env=environment | more, capture_output=True, text=True, check=True).stdout
        for more in ({}, {"HDF5_USE_FILE_LOCKING": "FALSE"})
    ]
    assert answers == [
        f"{path}: its file system has no locks; set HDF5_USE_FILE_LOCKING=FALSE in the environment, then run "
        "the same command again.\n",
        "2\n",
    ]


def test_a_file_that_is_being_written_is_told(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w"):
        code = (
            "import sys; from neuroreg.files.storage import open_foreign_h5\n"
            "from neuroreg.files.refusals import refusal\n"
            "try:\n    open_foreign_h5(sys.argv[1], 'x').__enter__()\n"
            "except OSError as error: print(refusal(error))\n"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"{path}: open in another program, for writing; close it there, then run the same command again.\n"
    )


def test_a_lack_of_memory_is_told():
    for allocate in (lambda: np.empty(10**15), lambda: torch.empty(10**15)):
        assert "not enough memory (" in told(allocate)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_becomes_one_line(number):
    sentence = refusal(OSError(number, os.strerror(number), "data/x"))
    assert sentence.startswith("data/x: ") and sentence.endswith(".") and "\n" not in sentence
    assert "{" not in sentence


def test_text_of_another_encoding_is_told(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"caf\xe9")
    assert "text that is not UTF-8" in told((tmp_path / "x.txt").read_text, "utf-8")
    assert "text that is not UTF-8" in told(write_text, tmp_path / "y.txt", "\udcff")
    assert [file.name for file in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), RuntimeError("shapes differ"), IndexError()]
)
def test_mistakes_in_the_code_are_none(error):
    assert refusal(error) is None
