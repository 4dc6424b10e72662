"""Draw mean minimal distances against the effort of the search."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.convergence import convergence
from neuroreg.figures.convergence import convergence_figure
from neuroreg.figures.style import save_drawing
from neuroreg.robustness.attack_result import join_runs
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    tries = join_runs(snakemake.input.attacks, params.runs, params.attacks)
    table = convergence(tries, params.models)
    save_drawing(snakemake.output, convergence_figure(table, params.models, params.note), table)


run_job(main, snakemake)
