"""What every script of the workflow does around its one library call."""

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from neuroreg.errors import InputError, on_terminal
from neuroreg.files.refusals import refusal
from neuroreg.files.storage import write_json
from neuroreg.files.usage import told_usage
from neuroreg.workflow.starting import BY_SIGNAL, collect_garbage, end_at_once, told

# As in sysexits.h: another try with the same input is in vain, or may do.
BAD_INPUT, REFUSED = 65, 74
NOTED = ("note", "weighting", "conditions")
# From malloc.h: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD with what they are set to, in bytes. The second is as
# high as glibc lets it be.
_MEMORY = ((-1, 1 << 30), (-3, 32 << 20))


class _Told(logging.Handler):
    """Shows the library's own warnings on the terminal, too; others' are in the log alone."""

    def __init__(self, snakemake: Any) -> None:
        super().__init__(logging.WARNING)
        self.snakemake = snakemake

    def emit(self, record: logging.LogRecord) -> None:
        """Say which job warns, of what, and where its log is."""
        with suppress(OSError):  # where nobody reads it any more
            _tell(self.snakemake.rule, f"warning: {record.getMessage()} ({self.snakemake.log[0]})")


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which Snakemake and SLURM send before they kill."""


def run_job(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call `main(snakemake)` with logging to the rule's log file.

    Three ends are no bugs and get one sentence, on the terminal and in the log, without a traceback: bad
    input (exit code 65), a refusal of the system (74: no room, no rights, no locks, no memory), and an
    interrupt (130 for Ctrl-C, 143 for SIGTERM). Any other exception is a bug: its traceback goes to both.

    Warnings of this library are told on the terminal, too.

    If the job has an output named ``made``, the params `NOTED` are written to it: the captions of a report,
    which may be put together under another config, say what they say.
    """
    try:
        with _interruptible():
            _start_log(snakemake)
            keep_memory()
            collect_garbage()
            main(snakemake)
            _note_making(snakemake)
            logging.info("done %s", told_usage())
    except InputError as error:
        _end(snakemake, str(error), BAD_INPUT)
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
        _end(snakemake, told(number), BY_SIGNAL + number)
    except Exception as error:
        sentence = refusal(error)
        if sentence is None:
            logging.exception("unexpected error")
            raise
        _end(snakemake, sentence, REFUSED)


def _note_making(snakemake: Any) -> None:
    path = getattr(getattr(snakemake, "output", None), "made", None)
    if path is not None:
        params = snakemake.params
        write_json(path, {name: getattr(params, name) for name in NOTED if hasattr(params, name)})


def _start_log(snakemake: Any) -> None:
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    # On a full disk the job's own sentence is to be seen, not a traceback for each line of the log.
    logging.raiseExceptions = False
    logging.basicConfig(
        filename=log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s", force=True,
        encoding="utf-8", errors="backslashreplace",
    )  # fmt: skip
    logging.captureWarnings(True)
    logging.getLogger("neuroreg").addHandler(_Told(snakemake))
    # It tells of each table of each font that goes into a PDF.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    # Sums of floats, and so a trained model's bytes, depend on the number of threads.
    logging.info(
        "%s with %d threads, started in %.1f s of processor time",
        snakemake.rule, snakemake.threads, time.process_time(),
    )  # fmt: skip
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(snakemake.threads)


def keep_memory() -> None:
    """Keep memory that is freed for what is allocated next, where the C library is glibc.

    By itself glibc gives the memory of every larger array back to the system, which clears it page by page
    when it is asked for again: 4,000 page faults and a fifteenth of the time of a training's step at width 8.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _MEMORY:
            mallopt(parameter, value)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGINT exceptions, for partial files to be removed."""

    def terminate(*_: object) -> NoReturn:
        raise _Terminated

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, terminate)
    if before[signal.SIGINT] is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(snakemake: Any, sentence: str, code: int) -> NoReturn:
    """End the job with a sentence and an exit code."""
    if logging.root.handlers:  # else it would go to the terminal twice
        logging.error("%s", on_terminal(sentence))
    _tell(snakemake.rule, sentence)
    sys.exit(code)


def _tell(rule: str, sentence: str) -> None:
    """Write a line of a job to the terminal."""
    # Of a status line that stands there.
    cleared = "\r\x1b[K" if "NEUROREG_STATUS" in os.environ and sys.stderr.isatty() else ""
    shown = f"{cleared}{rule}: {on_terminal(sentence)}\n".encode(errors="backslashreplace")
    sys.stderr.buffer.write(shown)
    sys.stderr.buffer.flush()
