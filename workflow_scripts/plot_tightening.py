"""Draw the minimal distance of the paper's attacks beside that with stronger ones."""

from neuroreg.figures.style import save_figure
from neuroreg.figures.tightening import tightening_figure
from neuroreg.files.storage import read_csv, write_csv
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    distances = read_csv(snakemake.input[0])
    figure, numbers = tightening_figure(distances, params.models, params.attacks, params.note, params.seed)
    save_figure(snakemake.output.figure, figure)
    write_csv(snakemake.output.numbers, numbers)


run_job(main, snakemake)
