"""Draw gamma, losses and accuracy of every run against the epoch."""

from neuroreg.analysis.checks import read_runs
from neuroreg.figures.style import save_figure
from neuroreg.figures.training import training_figure
from neuroreg.files.storage import write_csv
from neuroreg.workflow.job import run_job


def main(snakemake):
    figure, numbers = training_figure(
        read_runs(snakemake.input, snakemake.params.runs), snakemake.params.note
    )
    save_figure(snakemake.output.figure, figure)
    write_csv(snakemake.output.numbers, numbers)


run_job(main, snakemake)
