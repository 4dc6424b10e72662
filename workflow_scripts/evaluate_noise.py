"""Measure one classifier's accuracy under Gaussian noise."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.devices import choose_device
from neuroreg.files.records import read_record, write_record
from neuroreg.files.storage import write_csv
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.cpu_rows import ROWS_ON_CPU
from neuroreg.robustness.evaluation import quick
from neuroreg.robustness.noise import count_correct
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import run_job


def main(snakemake):
    data, settings = read_record(snakemake.input.data, ClassificationData), snakemake.params.settings
    device = choose_device(snakemake.params.device, snakemake.resources.devices)
    counts = count_correct(
        quick(load_model(snakemake.input.model), device),
        data.test_images,
        data.test_labels,
        seed=snakemake.params.seed,
        # On a CPU the features of so few stay in its cache.
        batch_size=256 if device.type == "cuda" else ROWS_ON_CPU,
        device=device,
        **settings,
    )
    config = settings | {"seed": snakemake.params.seed}
    write_record(snakemake.output.counts, counts, config=config, inputs=snakemake.input)
    write_csv(snakemake.output.accuracy, counts.accuracy())


run_job(main, snakemake)
