"""Bring the classification data to 32x32 gray."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import write_record
from neuroreg.files.storage import known_input
from neuroreg.images.classification import make_classification
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    settings = params.settings | params.read | {"seed": params.seed}
    inputs = known_input(settings["path"], params.content)
    write_record(snakemake.output[0], make_classification(**settings), config=settings, inputs=inputs)


run_job(main, snakemake)
