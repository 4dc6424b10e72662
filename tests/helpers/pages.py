"""A page of the documentation followed to the letter, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

COPIED = (
    *("src", "rules", "workflow_scripts", "schemas", "configs", "profiles", "report", "envs", "docs"),
    *("Snakefile", "config.yaml", "pyproject.toml", "tests"),
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"`([\w./-]+)`:\s*\Z")


class Block(NamedTuple):
    """A block of code: the file that the text before it names, if it does, its language, its text."""

    file: str | None
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page: one after a line that ends in "`name`:" is that file, or changes it."""
    found = []
    for match in _BLOCK.finditer(page):
        name = _NAME.search(page[: match.start()])
        found.append(Block(name and name[1], match[1], match[2]))
    return found


def copy_project(root: Path, place: Path) -> Path:
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, place / name)
    return place


def change(path: Path, lines: str) -> None:
    """Change a file as the lines of a diff say, which must be found in it once."""
    parts = [(line[:1], line[1:]) for line in lines.splitlines()]
    old, new = ("".join(f"{text}\n" for sign, text in parts if sign in kept) for kept in (" -", " +"))
    content = path.read_text()
    assert content.count(old) == 1, f"{path}: found {content.count(old)} times:\n{old}"
    path.write_text(content.replace(old, new))


def follow(page: str, folder: Path) -> str:
    """Do in `folder`, a copy of the project, what a page says; return what was printed.

    Files are saved or changed, blocks of sh are run one by one, and blocks of python that are no file are
    typed into one session, which ends where a block of sh begins or at the page's end.
    """
    printed, session = [], []

    def run(command):
        # As in an active environment of this copy.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
        environment |= {"MPLBACKEND": "agg"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        printed.append(done.stdout)

    def end_session():
        if session:
            run([sys.executable, "-c", "\n".join(session)])
            session.clear()

    for block in blocks(page):
        if block.file and block.language == "diff":
            change(folder / block.file, block.text)
        elif block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)
        elif block.language == "python":
            session.append(block.text)
        elif block.language == "sh":
            end_session()
            run(["bash", "-e", "-o", "pipefail", "-c", block.text])
    end_session()
    return "".join(printed)
