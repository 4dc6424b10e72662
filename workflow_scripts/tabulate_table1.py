"""Tabulate the final gamma for each alpha."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.checks import kept_epochs, read_runs
from neuroreg.figures.latex import save_table
from neuroreg.figures.tables import table1
from neuroreg.workflow.job import run_job


def main(snakemake):
    table = table1(kept_epochs(read_runs(snakemake.input.histories, snakemake.params.runs)))
    caption = "Final layer weights gamma, mean over seeds, beside the paper's."
    save_table(snakemake.output, table, caption, "tab:gamma", snakemake.params.note)


run_job(main, snakemake)
