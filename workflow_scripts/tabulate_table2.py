"""Tabulate minimal adversarial distances and the attacks that found them."""

from neuroreg.figures.latex import to_latex
from neuroreg.figures.tables import table2
from neuroreg.files.storage import read_csv, write_csv, write_text
from neuroreg.workflow.job import run_job


def main(snakemake):
    table = table2(read_csv(snakemake.input[0]), snakemake.params.models)
    write_csv(snakemake.output.numbers, table)
    caption = f"Minimal adversarial distances and wins of each attack. {snakemake.params.note}"
    write_text(snakemake.output.latex, to_latex(table, caption.strip(), "tab:distances"))


run_job(main, snakemake)
