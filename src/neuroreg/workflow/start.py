"""What is seen to before any job is started: the place that the workflow runs in, and how it can be ended."""

import re
import signal
import threading
from os import PathLike
from typing import Any

from neuroreg.errors import InputError


def check_python(executable: str) -> None:
    """Check that Snakemake can start jobs with this Python: it puts the path into a shell's line as it is.

    Raises
    ------
    InputError
        If a shell would take the path for something else.
    """
    other = re.search(r"[^\w@%+=:,./~-]", executable)
    if other:
        what = "a blank" if other[0].isspace() else f"the character {other[0]}"
        raise InputError(
            f"{executable}: {what} in the path of Python, with which Snakemake starts no job; expected the "
            "environment (.venv) in a folder of another name."
        )


def check_place(folder: str | PathLike) -> None:
    """Check that Snakemake finds the scripts in the project's folder: it fills in what stands in braces.

    Raises
    ------
    InputError
        If there are braces in the path.
    """
    if re.search(r"[{}]", str(folder)):
        raise InputError(
            f"{folder}: braces in the path of the project, which Snakemake takes for names to fill in; "
            "expected it in a folder of another name (the working directory, --directory, may have any)."
        )


def end_on_sigterm(scheduler: Any) -> None:
    """Have a SIGTERM end a run even while Snakemake's scheduler holds its own lock.

    Its handler waits for that lock; called in the thread that holds it, as Python calls handlers, it would
    wait for ever. Here it is called in another one.

    Parameters
    ----------
    scheduler
        Snakemake's, whose method `exit_gracefully` handles the signal; another handler is left alone.
    """
    if scheduler is not None and signal.getsignal(signal.SIGTERM) == scheduler.exit_gracefully:
        signal.signal(
            signal.SIGTERM, lambda *_: threading.Thread(target=scheduler.exit_gracefully, daemon=True).start()
        )
