"""Draw the minimal adversarial distance under four norms."""

from neuroreg.figures.fig2 import fig2
from neuroreg.figures.style import save_figure
from neuroreg.files.storage import read_csv, write_csv
from neuroreg.workflow.job import run_job


def main(snakemake):
    distances = read_csv(snakemake.input[0])
    params = snakemake.params
    figure, numbers = fig2(distances, params.models, params.note, params.seed)
    save_figure(snakemake.output.figure, figure)
    write_csv(snakemake.output.numbers, numbers)


run_job(main, snakemake)
