"""Simulate a V1 scan and write what only its simulator knows."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.simulator.simulate import simulate_scan
from neuroreg.workflow.job import run_job


def main(snakemake):
    simulated = simulate_scan(
        read_record(snakemake.input.stimuli, Stimuli),
        name=snakemake.wildcards.scan,
        **snakemake.params.drawn,
        **snakemake.params.settings,
    )
    write_record(
        snakemake.output[0],
        simulated.truth,
        config=snakemake.params.settings | snakemake.params.drawn,
        inputs=[snakemake.input.stimuli],
    )


run_job(main, snakemake)
