"""How a job starts: one sentence if it is interrupted while its script imports, and imports made cheap.

Each script imports this module first: the imports after it take seconds, and what has not begun needs no
tidying up. Later `run_job` takes over.
"""

import gc
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

# Of what is imported nothing is ever freed: to look for it is a seventh of what the start of a job with torch
# costs, and most of its end. Only where a script runs as a job, which `run_job` ends.
if hasattr(getattr(sys.modules["__main__"], "snakemake", None), "rule"):
    gc.disable()


def collect_garbage() -> None:
    """Collect garbage again, but never look through what has been imported."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
