"""One file over HTTP, however often the connection breaks.

What has arrived stands in ``<file>.part``, and in ``<file>.part.json`` which version of the file it is the
beginning of. Both outlive a kill, and the next attempt asks for the rest only. That is appended only if the
server shows that its file is still the same (RFC 9110, 13.1.5 and 14); otherwise the file is fetched anew.
"""

import fcntl
import logging
import os
import re
import shutil
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import NamedTuple, TextIO
from urllib import request
from urllib.error import HTTPError, URLError

from neuroreg import __version__
from neuroreg.errors import InputError
from neuroreg.files.kinds import HEAD_SIZE, check_archive, describe, is_hdf5, is_zip
from neuroreg.files.storage import read_json, write_json

logger = logging.getLogger(__name__)
TIMEOUT = 60.0  # seconds without a byte
WAITS = (1.0, 5.0, 20.0, 60.0, 120.0)  # seconds before each further attempt, if nothing new has arrived
_BLOCK = 1 << 20
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_PARTS = 20  # lines of the log
_STEP = 100_000_000  # bytes between them where the length is unknown


class _Broken(Exception):
    """An attempt failed in a way that another one may not."""


class _Version(NamedTuple):
    """Which file a server sends: empty texts and None for what it does not say."""

    url: str
    etag: str = ""
    modified: str = ""
    length: int | None = None

    @property
    def validator(self) -> str:
        """What makes a range conditional; weak tags do not say that the bytes are the same."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def contradicts(self, other: "_Version") -> bool:
        """Say whether the two differ in anything that both tell."""
        return any(
            a != b for a, b in zip(self, other, strict=True) if a not in ("", None) and b not in ("", None)
        )


def transfer(
    url: str,
    target: str | Path,
    accept: Callable[[Path], str],
    *,
    timeout: float = TIMEOUT,
    waits: Sequence[float] = WAITS,
) -> str:
    """Download a zip or HDF5 file; it gets its name only when it is complete and accepted.

    Parameters
    ----------
    url
        Its address, http or https.
    target
        Where it goes. The beginning of it in ``<target>.part`` from an earlier call is used.
    accept
        Looks at the file before it gets its name, and raises `InputError` if it is not what it should be.
    timeout
        Seconds without a byte after which an attempt counts as broken.
    waits
        Seconds to wait before each further attempt in a row that brings nothing new; then it is given up.

    Returns
    -------
    str
        What `accept` returned.

    Raises
    ------
    InputError
        If the server refuses, sends something else than zip or HDF5, breaks off or stalls too often; if the
        disk is full; if another process downloads to the same place; or what `accept` raises. What arrived is
        kept.
    """
    part = _Part(Path(target))
    with part.locked():
        furthest, failures = part.size, 0
        while True:
            try:
                _attempt(url, part, timeout)
                try:
                    accepted = accept(part.path)
                except InputError as error:
                    if not part.continued:
                        raise
                    part.clear()
                    raise _Broken("what was continued is another file than it should be") from error
                part.finish()
                return accepted
            except _Broken as error:
                reason = str(error)
            if part.size > furthest:
                furthest, failures = part.size, 0
            if failures == len(waits):
                raise InputError(
                    f"{url}: {reason}, {failures + 1} times in a row; expected the whole file "
                    f"(what has arrived stays in {part.path}: run again to go on)."
                )
            logger.warning("%s: %s; trying again in %g s", url, reason, waits[failures])
            time.sleep(waits[failures])
            failures += 1


class _Part:
    """The beginning of a file, and which version of the file it belongs to."""

    def __init__(self, target: Path):
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self._version_path = target.with_name(f"{target.name}.part.json")
        self.continued = False  # whether more than one answer of the server is in it

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the part open, for this process alone."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # No buffer: on a full disk closing would try, and fail, once more.
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error
        with self._file:
            if not self._alone():
                raise InputError(
                    f"{self.path}: another process is writing to it; expected one download at a time."
                )
            try:
                yield
            finally:
                if not self.size:
                    self._remove()

    def _alone(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            logger.warning("%s: this file system has no locks", self.path)
        # Between opening and locking, another process may have given this very file its final name.
        with suppress(FileNotFoundError):
            return os.path.samestat(self.path.stat(), os.fstat(self._file.fileno()))
        return False

    @property
    def name(self) -> str:
        return self._target.name

    @property
    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def version(self, url: str) -> _Version:
        """Return what the server said of the file when the part was begun."""
        with suppress(InputError, TypeError):
            version = _Version(**read_json(self._version_path))
            if version.url == url:
                return version
        return _Version(url)

    def clear(self, version: _Version | None = None) -> None:
        """Forget what is there; what comes next is the beginning of `version`."""
        with self._writing():
            self._file.truncate(0)
            if version is not None:
                write_json(self._version_path, version._asdict())

    def append(self, block: bytes) -> None:
        with self._writing():
            done = 0
            while done < len(block):
                done += self._file.write(block[done:])

    def finish(self) -> None:
        """Give the file its name."""
        with self._writing():
            os.fsync(self._file.fileno())
            self.path.replace(self._target)
            self._version_path.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Tell the disk's errors from those of the network, after which another attempt follows."""
        try:
            yield
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path}: cannot be written ({error.strerror}); expected a folder with room for it."
        )

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)


def _opener() -> request.OpenerDirector:
    """Return what opens http and https, and nothing else, wherever a server redirects to."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _attempt(url: str, part: _Part, timeout: float) -> None:
    """Append to the part what is missing of the file, or raise `_Broken`."""
    begun = part.version(url)
    if part.size and not begun.validator:
        logger.info("%s: begun anew, for nothing says whether the file is still the same", part.name)
        part.clear()
    headers = {"User-Agent": f"neuroreg/{__version__}", "Accept-Encoding": "identity"}
    if part.size:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": begun.validator}
    try:
        with _opener().open(request.Request(url, headers=headers), timeout=timeout) as response:
            if response.status == 200:
                total = _begin(response, url, part)
            elif response.status == 206 and part.size:
                total = _continue(response, url, part, begun)
            else:
                raise _Broken(f"HTTP {response.status} in answer to the request")
            _receive(response, part, total)
    except HTTPError as error:
        if error.code == 416 and part.size:
            return _check_end(error, url, part, begun)
        if error.code in _TRANSIENT:
            raise _Broken(f"HTTP {error.code} {error.reason}") from error
        raise InputError(f"{url}: the server says {error.code} {error.reason}; expected the file.") from error
    except (InvalidURL, UnicodeError) as error:  # where the server sends one on
        raise InputError(f"{url}: leads to no web address ({error}); expected the file.") from error
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise InputError(f"{url}: {cause.verify_message}; expected a valid certificate.") from error
        if isinstance(cause, TimeoutError):
            raise _Broken(f"no answer for {timeout:g} s") from error
        raise _Broken(f"the connection broke ({cause or type(cause).__name__})") from error


def _told(response: HTTPResponse | HTTPError, url: str, length: int | None) -> _Version:
    headers = response.headers
    return _Version(url, headers.get("ETag", ""), headers.get("Last-Modified", ""), length)


def _begin(response: HTTPResponse, url: str, part: _Part) -> int | None:
    """Put the first bytes of a response in place of the part; return the file's length if it is told."""
    total = response.length
    start = response.read(HEAD_SIZE)
    if len(start) < HEAD_SIZE and len(start) < (total or 0):
        raise _Broken(f"{len(start)} of {total} bytes arrived")
    # Before the part is given up: a page that says "under maintenance" is no new version of the file.
    if not (is_zip(start) or is_hdf5(start)):
        raise InputError(f"{response.url}: is {describe(start)}; expected a zip or HDF5 file.")
    if part.size:
        logger.info("%s: begun anew, as the file has changed or the server sends no parts", part.name)
    part.clear(_told(response, url, total))
    _check_room(part, total)
    part.continued = False
    part.append(start)
    return total


def _continue(response: HTTPResponse, url: str, part: _Part, begun: _Version) -> int | None:
    """Check that a response goes on where the part ends; return the file's length if it is told."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    total = int(match[2]) if match and match[2] != "*" else begun.length
    if not match or int(match[1]) != part.size or _told(response, url, total).contradicts(begun):
        part.clear()
        raise _Broken("the server continued another file than the one begun")
    _check_room(part, total)
    part.continued = True
    logger.info("%s: going on after %.1f MB", part.name, part.size / 1e6)
    return total


def _check_room(part: _Part, total: int | None) -> None:
    needed = (total or 0) - part.size
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise InputError(
            f"{part.path}: {needed / 1e9:.1f} GB are to come and {free / 1e9:.1f} GB of the disk are free; "
            "expected room for the file."
        )


def _check_end(response: HTTPError, url: str, part: _Part, begun: _Version) -> None:
    """Return if nothing is missing: the server has nothing beyond the part."""
    match = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
    told = _told(response, url, int(match[1]) if match else None)
    if told.length != part.size or told._replace(length=None).contradicts(begun):
        part.clear()
        raise _Broken("the server's file is another than the one begun") from response
    part.continued = True


def _receive(response: HTTPResponse, part: _Part, total: int | None) -> None:
    with ProgressReport(part.name, part.size, total) as progress:
        while block := response.read1(_BLOCK):
            part.append(block)
            progress.update(part.size)
    if total is None:
        try:
            check_archive(part.path)
        except InputError as error:
            raise _Broken("the connection ended before the file did") from error
    elif part.size != total:
        size = part.size
        if size > total:
            part.clear()
        raise _Broken(f"{size} of {total} bytes arrived")


class ProgressReport:
    """Tells how much of a file has arrived.

    Parameters
    ----------
    name
        The file, for the reader.
    done
        Bytes that are there from an earlier attempt.
    total
        Bytes of the whole file, None if the server did not say.
    terminal
        Where to keep a line up to date, if it is a terminal.
    """

    def __init__(self, name: str, done: int, total: int | None, terminal: TextIO | None = None):
        self._name, self._total, self._first = name, total, done
        self._terminal = sys.stderr if terminal is None else terminal
        # Under Snakemake, a line of its own tells of all jobs, by their logs.
        self._drawn = self._terminal.isatty() and "NEUROREG_STATUS" not in os.environ
        self._step = -(-total // _PARTS) if total else _STEP
        self._logged = done // self._step
        self._started = self._shown = time.monotonic()
        self._line_open = False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._line_open:
            self._terminal.write("\n")

    def update(self, done: int) -> None:
        """Tell that `done` bytes of the file are there."""
        now = time.monotonic()
        if done // self._step > self._logged:
            self._logged = done // self._step
            logger.info("%s", self._line(done, now))
        if self._drawn and (now - self._shown >= 1 or done == self._total):
            self._shown, self._line_open = now, True
            self._terminal.write(f"\r\x1b[K{self._line(done, now)}")
            self._terminal.flush()

    def _line(self, done: int, now: float) -> str:
        speed = (done - self._first) / max(now - self._started, 1e-3)
        megabytes, rate = f"{done / 1e6:.1f}", f"{speed / 1e6:.1f} MB/s"
        if self._total is None:
            return f"{self._name}: {megabytes} MB, {rate}"
        left = (self._total - done) / speed if speed else 0
        minutes, seconds = divmod(round(left), 60)
        share = f"{100 * done // self._total} % of {self._total / 1e6:.1f} MB"
        return f"{self._name}: {share}, {rate}, {minutes}:{seconds:02d} left"
