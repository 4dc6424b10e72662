"""Draw accuracy against noise, one curve for each condition."""

from neuroreg.analysis.checks import read_runs
from neuroreg.figures.noise import noise_figure
from neuroreg.figures.style import save_drawing
from neuroreg.workflow.job import run_job


def main(snakemake):
    frame = read_runs(snakemake.input.noise, snakemake.params.runs)
    figure, numbers = noise_figure(frame, snakemake.params.models, snakemake.params.note)
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
