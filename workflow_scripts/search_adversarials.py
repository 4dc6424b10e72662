"""Search the smallest adversarial perturbations of one classifier with one attack."""

from pathlib import Path

import numpy as np

from neuroreg.devices import choose_device
from neuroreg.files.records import read_record, write_record
from neuroreg.files.resume import ResumeFile
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.minimal_distance import choose_samples, search
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    data = read_record(snakemake.input.data, ClassificationData)
    sample = choose_samples(data.test_labels, params.samples, params.seed)
    sample = np.array_split(sample, params.parts)[int(snakemake.wildcards.get("part", 0))]
    output = Path(snakemake.output[0])
    path = output.with_name(f"resume_{output.stem}.safetensors")
    with ResumeFile(path, params.code) as resume:
        result = search(
            load_model(snakemake.input.model),
            data.test_images[sample],
            data.test_labels[sample],
            sample,
            data.test_images,
            data.test_labels,
            method=params.attack["method"],
            settings=params.attack["settings"],
            repetitions=params.repetitions,
            seed=params.seed,
            batch_size=params.batch_size,
            device=choose_device(params.device, snakemake.resources.devices),
            pad=params.parts > 1,
            resume=resume,
        )
        config = params.attack | {"repetitions": params.repetitions, "seed": params.seed}
        write_record(output, result, config=config, inputs=snakemake.input)


run_job(main, snakemake)
