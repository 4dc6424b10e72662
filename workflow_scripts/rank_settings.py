"""Rank the attacks' settings by what the smallest distances rest on."""

from neuroreg.csv_files import write_csv
from neuroreg.robustness.setting_ranks import rank_settings
from neuroreg.robustness.tries import join_runs
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    tries = join_runs(snakemake.input, params.runs, params.attacks)
    write_csv(snakemake.output[0], rank_settings(tries, params.tolerance))


run_job(main, snakemake)
