"""Draw mean minimal distances against the effort of the search."""

from neuroreg.analysis.convergence import convergence
from neuroreg.figures.convergence import convergence_figure
from neuroreg.figures.style import save_figure
from neuroreg.files.storage import write_csv
from neuroreg.robustness.attack_result import join_runs
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    tries = join_runs(snakemake.input, params.runs, params.attacks)
    table = convergence(tries, params.models)
    save_figure(snakemake.output.figure, convergence_figure(table, params.models, params.note))
    write_csv(snakemake.output.numbers, table)


run_job(main, snakemake)
