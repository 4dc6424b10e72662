"""Draw gamma, losses and accuracy of every run against the epoch."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.checks import read_runs
from neuroreg.figures.style import save_drawing
from neuroreg.figures.training import training_figure
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    histories = read_runs(snakemake.input.histories, params.runs)
    figure, numbers = training_figure(histories, params.models, params.note)
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
