"""Search the smallest adversarial perturbations of one classifier, attack by attack."""

import logging
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from neuroreg.devices import choose_device
from neuroreg.files.records import read_record, write_record
from neuroreg.files.resume import ResumeFile
from neuroreg.files.storage import was_made_from
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import AttackResult
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import run_job


def main(snakemake):
    params, inputs = snakemake.params, list(snakemake.input)
    data = read_record(snakemake.input.data, ClassificationData)
    sample = choose_samples(data.test_labels, params.samples, params.seed)
    sample = np.array_split(sample, params.parts)[int(snakemake.wildcards.get("part", 0))]
    device = choose_device(params.device, snakemake.resources.devices)
    common = {
        name: getattr(params, name) for name in ("samples", "repetitions", "seed", "batch_size", "device")
    }
    # States of finished searches stay until all are: Snakemake deletes what a failed job has written.
    with ExitStack() as unfinished:
        for attack, code, path in zip(params.attacks, params.code, snakemake.output, strict=True):
            output, config = Path(path), attack | common | {"code": code}
            resume = ResumeFile(output.with_name(f"resume_{output.stem}.safetensors"), code)
            unfinished.enter_context(resume)
            if was_made_from(output, AttackResult.KIND, config=config, inputs=inputs):
                logging.info("%s: kept, nothing that decides it has changed", output)
                continue
            result = search(
                load_model(snakemake.input.model),
                data.test_images[sample],
                data.test_labels[sample],
                sample,
                data.test_images,
                data.test_labels,
                method=attack["method"],
                settings=attack["settings"],
                repetitions=params.repetitions,
                seed=params.seed,
                batch_size=params.batch_size,
                device=device,
                pad=params.parts > 1,
                resume=resume,
            )
            write_record(output, result, config=config, inputs=inputs)


run_job(main, snakemake)
