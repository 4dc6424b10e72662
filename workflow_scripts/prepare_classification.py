"""Bring the classification data to 32x32 gray."""

from neuroreg.images.classification import make_classification, save_classification
from neuroreg.workflow.job import run_job


def main(snakemake):
    settings = snakemake.params.settings | {"seed": snakemake.params.seed}
    save_classification(snakemake.output[0], make_classification(**settings), config=settings)


run_job(main, snakemake)
