"""Tabulate minimal adversarial distances and the attacks that found them."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.distances import load_distances
from neuroreg.errors import naming
from neuroreg.figures.latex import save_table
from neuroreg.figures.tables import table2
from neuroreg.workflow.job import run_job


def main(snakemake):
    distances = load_distances(snakemake.input.distances)
    with naming(snakemake.input.distances):
        table = table2(distances, snakemake.params.models, snakemake.params.apart)
    caption = "Minimal adversarial distances and wins of each attack."
    save_table(snakemake.output, table, caption, "tab:distances", snakemake.params.note)


run_job(main, snakemake)
