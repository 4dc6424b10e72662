"""The searches of one job: several attacks on one model; only those that have changed are made anew."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from neuroreg.devices import choose_device
from neuroreg.files.records import read_record, write_record
from neuroreg.files.resume import ResumeFile
from neuroreg.files.storage import digests, was_made_from
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import AttackResult
from neuroreg.robustness.cpu_rows import ROWS_ON_CPU
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.training.checkpoints import load_model

logger = logging.getLogger(__name__)


def search_attacks(
    model_path: str | Path,
    data_path: str | Path,
    outputs: Sequence[str | Path],
    attacks: Sequence[Mapping],
    codes: Sequence[str],
    *,
    samples: int,
    parts: int = 1,
    part: int = 0,
    repetitions: int,
    seed: int,
    batch_size: int | Literal["auto"],
    logit_margin: float | None,
    device: str,
    devices: str | int = "0",
) -> None:
    """Write what `search` finds with each attack; keep a file that the same settings, code and inputs made.

    A search that was killed goes on where its state was last saved, beside its file
    (`ResumeFile.beside`). States stay until all searches have ended, because Snakemake
    deletes the outputs of a job that has failed.

    Parameters
    ----------
    model_path, data_path
        Files of a trained model and of `ClassificationData`, whose test images are attacked.
    outputs, attacks, codes
        For each attack the file to write, its entry in the config (name, method, settings), and the digest of
        the code that it runs.
    samples
        How many test images, see `choose_samples`.
    parts, part
        Into how many jobs the samples are split, and which of them this is, from 0.
    repetitions, seed, batch_size, logit_margin
        See `search`.
    device, devices
        See `choose_device`.

    Raises
    ------
    InputError
        If a file cannot be read, or as `choose_device`, `choose_samples` and `search`.
    """
    model, data = load_model(model_path), read_record(data_path, ClassificationData)
    sample = np.array_split(choose_samples(data.test_labels, samples, seed), parts)[part]
    common = {"samples": samples, "repetitions": repetitions, "seed": seed}
    common |= {"batch_size": batch_size, "logit_margin": logit_margin, "device": device}
    inputs, place = digests([model_path, data_path]), choose_device(device, devices)

    @cache
    def pool_logits() -> np.ndarray:
        """Once for all attacks that need them."""
        pool, rows = to_input(data.test_images), ROWS_ON_CPU if batch_size == "auto" else batch_size
        return predict(model, pool, batch_size=rows, device=place, finite=False).numpy()

    with ExitStack() as unfinished:
        for number, (attack, code, output) in enumerate(zip(attacks, codes, map(Path, outputs), strict=True)):
            logger.info("attack %d of %d: %s", number + 1, len(attacks), attack["name"])
            config = attack | common | {"code": code}
            resume = unfinished.enter_context(ResumeFile.beside(output, code))
            if was_made_from(output, AttackResult.KIND, config=config, inputs=inputs):
                logger.info("%s: kept, nothing that decides it has changed", output)
                continue
            result = search(
                model,
                data.test_images,
                data.test_labels,
                sample,
                method=attack["method"],
                settings=attack["settings"],
                repetitions=repetitions,
                seed=seed,
                batch_size=batch_size,
                logit_margin=logit_margin,
                device=place,
                pad=parts > 1,
                # Padded, a search passes the pool in a way of its own.
                pool_logits=pool_logits if parts == 1 else None,
                resume=resume,
            )
            write_record(output, result, config=config, inputs=inputs)
