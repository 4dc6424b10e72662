"""What every script of the workflow does around its one library call."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroreg.errors import InputError


def run_job(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call `main(snakemake)` with logging to the rule's log file.

    Bad input ends the job with exit code 1 and its one sentence, on the terminal and in the log, without a
    traceback. Any other exception is a bug: its traceback goes to both.
    """
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=log, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s", force=True
    )
    logging.captureWarnings(True)
    # Sums of floats, and so a trained model's bytes, depend on the number of threads.
    logging.info("%s with %d threads", snakemake.rule, snakemake.threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(snakemake.threads)
    try:
        main(snakemake)
    except InputError as error:
        logging.error("%s", error)
        sys.exit(f"{snakemake.rule}: {error}")
    except Exception:
        logging.exception("unexpected error")
        raise
