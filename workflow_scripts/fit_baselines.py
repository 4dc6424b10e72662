"""Fit the baselines of a scan and score them."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record
from neuroreg.files.storage import write_json
from neuroreg.response_model.baselines import score_baselines
from neuroreg.scans.scan import Scan
from neuroreg.workflow.job import run_job


def main(snakemake):
    write_json(snakemake.output[0], score_baselines(read_record(snakemake.input.scan, Scan)))


run_job(main, snakemake)
