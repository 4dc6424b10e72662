"""Draw the minimal distance of the paper's attacks beside that with stronger ones."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.distances import load_distances
from neuroreg.errors import naming
from neuroreg.figures.style import save_drawing
from neuroreg.figures.tightening import tightening_figure
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    distances = load_distances(snakemake.input.distances)
    with naming(snakemake.input.distances):
        figure, numbers = tightening_figure(
            distances, params.models, params.attacks, params.note, params.apart
        )
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
