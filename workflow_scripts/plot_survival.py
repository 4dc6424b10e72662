"""Draw accuracy against the distance that an adversary may go."""

from neuroreg.figures.style import save_figure
from neuroreg.figures.survival import survival_figure
from neuroreg.files.storage import read_csv, write_csv
from neuroreg.workflow.job import run_job


def main(snakemake):
    distances = read_csv(snakemake.input[0])
    figure, numbers = survival_figure(distances, snakemake.params.models, snakemake.params.note)
    save_figure(snakemake.output.figure, figure)
    write_csv(snakemake.output.numbers, numbers)


run_job(main, snakemake)
