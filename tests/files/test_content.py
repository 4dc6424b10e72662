"""Digests of content are those of a fresh reading, and what has not changed is not read again."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroreg.files import content
from neuroreg.files.content import content_digest, files_below
from neuroreg.files.storage import sha256

LONG_AGO = time.time_ns() - 10**12


def plain_digest(path):
    """By hashlib alone; a folder's over the sorted names of its files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(path).as_posix()} {plain_digest(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are read."""
    names = []
    read = content.sha256_of_file
    monkeypatch.setattr(content, "sha256_of_file", lambda path: names.append(Path(path).name) or read(path))
    return names


@pytest.fixture
def settled(monkeypatch):
    """Have changes counted as settled at once, since no test can set the time of a file's last change."""
    monkeypatch.setattr(content, "_TICK", -(10**10))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "folder"
    for name in ("a/1", "a/2", "b-c/3", "b/4"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"content of {name}")
    return place


def test_each_file_is_read_once(folder, tmp_path, opened, settled):
    memory = tmp_path / "memory"
    expected = plain_digest(folder)
    assert sha256(folder) == expected
    opened.clear()
    assert [content_digest(folder, memory) for _ in range(3)] == [expected] * 3
    assert sorted(opened) == ["1", "2", "3", "4"]
    (folder / "a" / "2").write_text("other")
    assert content_digest(folder, memory) == plain_digest(folder) != expected
    assert opened[4:] == ["2"]
    shutil.rmtree(memory)
    assert content_digest(folder, memory) == plain_digest(folder)
    assert len(opened) == 9


def test_what_changed_just_now_is_read_again(folder, tmp_path, opened, monkeypatch):
    """A second change within the clock's tick leaves every time stamp as it was."""
    monkeypatch.setattr(content, "_TICK", 10**12)  # however slow this machine is
    path = folder / "a" / "1"
    for expected_reads in (1, 2):
        assert content_digest(path, tmp_path / "memory") == plain_digest(path)
        assert len(opened) == expected_reads


@pytest.mark.parametrize("how", ["replaced", "rewritten", "by link"])
def test_other_content_of_the_same_size_and_time_is_seen(folder, tmp_path, settled, how):
    path, memory = folder / "a" / "1", tmp_path / "memory"
    other = folder / "a" / "2"
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    os.utime(other, ns=(LONG_AGO, LONG_AGO))
    named = path
    if how == "by link":
        named = tmp_path / "link"
        named.symlink_to(path)
    before = content_digest(named, memory)
    assert before == plain_digest(path)
    if how == "replaced":
        shutil.copy2(other, folder / "new")
        (folder / "new").replace(path)
    elif how == "rewritten":
        shutil.copy2(other, path)
    else:
        named.unlink()
        named.symlink_to(other)
    assert path.stat().st_size == other.stat().st_size
    assert named.stat().st_mtime_ns == LONG_AGO
    assert content_digest(named, memory) == plain_digest(other) != before


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["write", "append", "remove", "rename", "touch", "swap", "move", "older"]),
        st.sampled_from(["a/1", "a/2", "b-c/3", "b/4", "b/5"]),
        st.sampled_from(["a/1", "a/2", "b-c/3", "b/4", "b/5"]),
    ),
    max_size=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(CHANGES)
def test_after_any_changes_the_digest_is_that_of_a_fresh_reading(tmp_path, settled, changes):
    place, memory = tmp_path / "any", tmp_path / "memory"
    shutil.rmtree(place, ignore_errors=True)
    for name in ("a/1", "a/2", "b-c/3", "b/4"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("same")
    for kind, one, two in changes:
        first, second = place / one, place / two
        if kind == "write":
            first.write_text(two)
        elif first.is_file():
            if kind == "append":
                first.write_text(first.read_text() + "x")
            elif kind == "remove":
                first.unlink()
            elif kind in ("rename", "move"):
                first.rename(second)
            elif kind == "touch":
                os.utime(first)
            elif kind == "older":
                os.utime(first, ns=(LONG_AGO, LONG_AGO))
            elif second.is_file():
                texts = first.read_text(), second.read_text()
                second.write_text(texts[0])
                first.write_text(texts[1])
        assert content_digest(place, memory) == plain_digest(place)


def test_time_stamps_and_where_a_folder_lies_are_no_content(folder, tmp_path):
    before = content_digest(folder, tmp_path / "memory")
    for path in folder.rglob("*"):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert content_digest(folder, tmp_path / "memory") == before
    folder.rename(tmp_path / "elsewhere")
    assert content_digest(tmp_path / "elsewhere", tmp_path / "memory") == before


def test_hidden_names_are_no_content_and_links_are_followed(folder, tmp_path):
    before = content_digest(folder, tmp_path / "memory")
    (folder / ".DS_Store").write_text("x")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "1").write_text("x")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "gone").symlink_to(folder / "nothing")
    assert content_digest(folder, tmp_path / "memory") == before
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "9").write_text("x")
    (folder / "linked").symlink_to(tmp_path / "more")
    assert [path.relative_to(folder).as_posix() for path in files_below(folder)][-1] == "linked/9"
    assert content_digest(folder, tmp_path / "memory") != before


@pytest.mark.parametrize("spoilt", ["", "nonsense", "[1]", '["x"]\n', "[null, null]\n[1, 2]\n", "\0"])
def test_a_spoilt_memory_does_no_harm(folder, tmp_path, settled, spoilt):
    memory = tmp_path / "memory"
    content_digest(folder, memory)
    (kept,) = memory.iterdir()
    kept.write_text(spoilt)
    assert content_digest(folder, memory) == plain_digest(folder)
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join([lines[0].replace(lines[0][2:12], "0" * 10), "[", *lines[1:]]))
    assert content_digest(folder, memory) == plain_digest(folder)


def test_a_memory_that_cannot_be_written_is_done_without(folder, tmp_path):
    (tmp_path / "memory").write_text("in the way")
    assert content_digest(folder, tmp_path / "memory") == plain_digest(folder)
    assert (tmp_path / "memory").read_text() == "in the way"


def test_several_processes_share_a_memory(folder, tmp_path):
    code = (
        "import sys; from neuroreg.files import content; content._TICK = -10**10\n"
        "for _ in range(40): print(content.content_digest(*sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, folder, tmp_path / "memory"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    found = {line for process in running for line in process.communicate()[0].split()}
    assert all(process.returncode == 0 for process in running)
    assert found == {plain_digest(folder)}
    assert [path.suffix for path in (tmp_path / "memory").iterdir()] == [".jsonl"]


def test_many_files_are_listed_but_not_read_again(tmp_path, opened, settled):
    place = tmp_path / "many"
    place.mkdir()
    for number in range(5000):
        (place / f"{number}.png").write_bytes(number.to_bytes(4, "big"))
    before = content_digest(place, tmp_path / "memory")
    assert len(opened) == 5000
    assert content_digest(place, tmp_path / "memory") == before
    assert len(opened) == 5000
