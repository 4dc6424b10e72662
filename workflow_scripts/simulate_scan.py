"""Simulate a V1 scan and write it as a lab would."""

import logging

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.scans.static_hdf5 import write_static_hdf5
from neuroreg.simulator.simulate import simulate_scan
from neuroreg.workflow.job import run_job


def main(snakemake):
    simulated = simulate_scan(
        read_record(snakemake.input.stimuli, Stimuli),
        name=snakemake.wildcards.scan,
        **snakemake.params.drawn,
        **snakemake.params.settings,
    )
    logging.info("noise level %.3g, shared %.3g", simulated.truth.noise, simulated.truth.shared_noise)
    write_static_hdf5(snakemake.output[0], simulated.scan)


run_job(main, snakemake)
