"""Tabulate minimal adversarial distances and the attacks that found them."""

import neuroreg.workflow.interrupts  # noqa: F401 (first: for a Ctrl-C during the other imports)
from neuroreg.figures.latex import save_table
from neuroreg.figures.tables import table2
from neuroreg.files.storage import read_csv
from neuroreg.workflow.job import run_job


def main(snakemake):
    table = table2(read_csv(snakemake.input.distances), snakemake.params.models)
    caption = "Minimal adversarial distances and wins of each attack."
    save_table(snakemake.output, table, caption, "tab:distances", snakemake.params.note)


run_job(main, snakemake)
