"""An end in one sentence for a job that is interrupted while its script still imports.

Each script imports this module first: the imports after it take seconds, and what has not begun needs no
tidying up. Later `run_job` takes over.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

BY_SIGNAL = 128  # and the signal's number, as shells have it


def told(number: int) -> str:
    """Return the sentence for the end by a signal."""
    return f"ended by {signal.Signals(number).name}; the same command goes on."


def end_at_once(number: int, _: FrameType | None = None) -> NoReturn:
    """Handle a signal: one line on the terminal, and no exception, which imports of C code would hide."""
    rule = getattr(getattr(sys.modules["__main__"], "snakemake", None), "rule", "job")
    os.write(2, f"{rule}: {told(number)}\n".encode(errors="backslashreplace"))
    os._exit(BY_SIGNAL + number)


# An interrupt that is ignored, as in the background of a shell, stays so.
for _number, _default in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
):
    if signal.getsignal(_number) is _default:
        signal.signal(_number, end_at_once)
