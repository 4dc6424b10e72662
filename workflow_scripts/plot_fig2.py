"""Draw the minimal adversarial distance under four norms."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.distances import load_distances
from neuroreg.errors import naming
from neuroreg.figures.fig2 import fig2
from neuroreg.figures.style import save_drawing
from neuroreg.workflow.job import run_job


def main(snakemake):
    distances = load_distances(snakemake.input.distances)
    params = snakemake.params
    with naming(snakemake.input.distances):
        figure, numbers = fig2(distances, params.models, params.note, params.apart)
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
