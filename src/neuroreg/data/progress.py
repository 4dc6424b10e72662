"""How far a download is: in the log every twentieth, on a terminal every second."""

import logging
import sys
import time
from typing import TextIO

logger = logging.getLogger(__name__)

_PARTS = 20
_STEP = 100_000_000  # bytes between lines of the log where the length is unknown


class Progress:
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
        if self._terminal.isatty() and (now - self._shown >= 1 or done == self._total):
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
