"""What a file or folder holds as one digest, remembered, so that what has not changed is not read again."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_VERSION = 1
# A change so soon after the last may leave time stamps as they were: file systems count up to two seconds.
_TICK = 3_000_000_000  # nanoseconds
_Marks = list[int]  # size, time of the last change of content and of anything else (ns), inode
_Seen = dict[str, tuple[_Marks, str]]  # by a file's name below the folder: its marks and its digest


def sha256_of_file(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: str | Path) -> list[Path]:
    """Return the files in a folder at any depth, sorted.

    Names that begin with a dot are skipped. Links are followed, but for those that lead nowhere or to a
    folder above them.

    Raises
    ------
    OSError
        If the system refuses to list a folder.
    """
    return sorted(_walk(Path(folder), ()))


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = folder.stat()
    place = status.st_dev, status.st_ino
    if place in above:
        return
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    for name in names:
        path = folder / name
        if path.is_dir():
            yield from _walk(path, (*above, place))
        elif path.is_file():
            yield path


def listing_digest(digests: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 of files' names and digests, as a folder's."""
    listing = "".join(f"{name} {digest}\n" for name, digest in digests)
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()


def content_digest(
    path: str | Path,
    memory: str | Path,
    files_in: Callable[[Path], Iterable[Path]] = files_below,
) -> str:
    """Return the SHA-256 of a file's bytes or of a folder's names and files; read only what may have changed.

    A file is known again by its path, size, inode and both times of its last change. Files changed within
    the last seconds are read again next time, since time stamps do not tell that they stay as they are.

    Parameters
    ----------
    path
        A file, or a folder.
    memory
        A folder in which digests are remembered, made if it is not there; one file for each path. It may be
        deleted at any time, and several processes may use it. Where it cannot be written, nothing is
        remembered.
    files_in
        What of a folder counts, sorted; all by default, see `files_below`.

    Returns
    -------
    str
        64 hexadecimal digits, the same as `storage.sha256` gives if all of a folder counts.

    Raises
    ------
    OSError
        If the system refuses to read something.
    """
    path = Path(path)
    folder = path.is_dir()
    files = {file.relative_to(path).as_posix(): file for file in files_in(path)} if folder else {"": path}
    place = os.path.abspath(path)  # noqa: PTH100 (links stay)
    kept = Path(memory) / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:32]}.jsonl"
    marks = {name: _marks(file) for name, file in files.items()}
    state = hashlib.sha256(json.dumps([_VERSION, folder, marks]).encode()).hexdigest()
    known, seen = _recall(kept, state)
    if known is not None:
        return known
    found: _Seen = {}
    lasting = True
    for name, file in files.items():
        if name in seen and seen[name][0] == marks[name]:
            found[name] = seen[name]
            continue
        now = time.time_ns()
        digest = sha256_of_file(file)
        found[name] = marks[name], digest
        settled = max(marks[name][1:3]) < now - _TICK and _marks(file) == marks[name]
        lasting = lasting and settled
        if not settled:
            found[name] = [], digest  # never equal to any marks
    digest = listing_digest((name, digest) for name, (_, digest) in found.items()) if folder else found[""][1]
    _remember(kept, state if lasting else "", digest, found)
    return digest


def _marks(file: Path) -> _Marks:
    status = file.stat()
    # No device: the same drive has another number on each node of a cluster.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _recall(kept: Path, state: str) -> tuple[str | None, _Seen]:
    """Return the digest if all is as it was, else what is remembered of each file."""
    try:
        with kept.open(encoding="utf-8") as stream:
            before, digest = json.loads(stream.readline())
            if before == state:
                return str(digest), {}
            return None, {str(name): (marks, str(one)) for name, marks, one in map(json.loads, stream)}
    except (OSError, ValueError, TypeError):  # not there, or not as it was written
        return None, {}


def _remember(kept: Path, state: str, digest: str, found: _Seen) -> None:
    """Write what is known in one go, so that no other process reads a part of it."""
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=kept.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                for line in ([state, digest], *([name, *one] for name, one in found.items())):
                    stream.write(json.dumps(line) + "\n")
            os.replace(partial, kept)  # noqa: PTH105
        except BaseException:
            os.unlink(partial)  # noqa: PTH108
            raise
