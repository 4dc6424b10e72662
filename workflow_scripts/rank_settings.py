"""Rank the attacks' settings by what the smallest distances rest on."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.setting_ranks import rank_settings
from neuroreg.files.storage import write_csv
from neuroreg.robustness.attack_result import join_runs
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    tries = join_runs(snakemake.input, params.runs, params.attacks)
    write_csv(
        snakemake.output[0], rank_settings(tries, params.tolerance, most=params.most, norms=params.norms)
    )


run_job(main, snakemake)
