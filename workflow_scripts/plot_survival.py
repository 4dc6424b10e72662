"""Draw accuracy against the distance that an adversary may go."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.distances import load_distances
from neuroreg.errors import naming
from neuroreg.figures.style import save_drawing
from neuroreg.figures.survival import survival_figure
from neuroreg.workflow.job import run_job


def main(snakemake):
    distances = load_distances(snakemake.input.distances)
    with naming(snakemake.input.distances):
        figure, numbers = survival_figure(distances, snakemake.params.models, snakemake.params.note)
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
