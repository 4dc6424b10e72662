"""Put together what the parts of one search have found."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record, write_record
from neuroreg.robustness.attack_result import AttackResult, join_parts
from neuroreg.workflow.job import run_job


def main(snakemake):
    params, inputs = snakemake.params, [snakemake.input.model, snakemake.input.data]
    result = join_parts([read_record(path, AttackResult) for path in snakemake.input.parts])
    write_record(snakemake.output[0], result, config=params.attack | params.settings, inputs=inputs)


run_job(main, snakemake)
