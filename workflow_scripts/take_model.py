"""Check a network that was trained elsewhere, and take it in."""

import shutil

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record
from neuroreg.files.storage import atomic_path
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.given import given_network
from neuroreg.workflow.job import run_job


def main(snakemake):
    path = snakemake.params.network["path"]
    given_network(path, read_record(snakemake.input.data, ClassificationData))
    with atomic_path(snakemake.output[0]) as partial:
        shutil.copyfile(path, partial)


run_job(main, snakemake)
