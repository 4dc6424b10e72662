"""Draw accuracy against noise, one curve for each alpha."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.figures.noise import fig1
from neuroreg.figures.style import save_drawing
from neuroreg.files.records import read_record
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.workflow.job import run_job


def main(snakemake):
    counts = [read_record(path, NoiseCounts) for path in snakemake.input.noise]
    figure, numbers = fig1(counts, snakemake.params.runs, snakemake.params.note)
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
