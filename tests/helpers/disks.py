"""File systems of a size of their own, which really get full."""

import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """A file system of its own, if this user may mount one; else the test is skipped."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system of its own")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path, free):
    """Make a file that leaves about `free` bytes of its file system."""
    path.write_bytes(b"")
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while room(path.parent) > free:
            stream.write(bytes(min(1_000_000, room(path.parent) - free)))


def room(folder):
    """Bytes that are free on a file system."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
