"""Tabulate the final gamma for each alpha."""

from neuroreg.analysis.checks import kept_epochs, read_runs
from neuroreg.figures.latex import to_latex
from neuroreg.figures.tables import table1
from neuroreg.files.storage import write_csv, write_text
from neuroreg.workflow.job import run_job


def main(snakemake):
    table = table1(kept_epochs(read_runs(snakemake.input, snakemake.params.runs)))
    write_csv(snakemake.output.numbers, table)
    caption = f"Final layer weights gamma, mean over seeds, beside the paper's. {snakemake.params.note}"
    write_text(snakemake.output.latex, to_latex(table, caption.strip(), "tab:gamma"))


run_job(main, snakemake)
