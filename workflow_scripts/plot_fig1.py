"""Draw accuracy against noise, one curve for each alpha."""

from neuroreg.analysis.checks import read_runs
from neuroreg.figures.fig1 import fig1
from neuroreg.figures.style import save_figure
from neuroreg.files.storage import write_csv
from neuroreg.workflow.job import run_job


def main(snakemake):
    frame = read_runs(snakemake.input, snakemake.params.runs)
    figure, numbers = fig1(frame, snakemake.params.note)
    save_figure(snakemake.output.figure, figure)
    write_csv(snakemake.output.numbers, numbers)


run_job(main, snakemake)
