"""Rank the attacks' settings by what the smallest distances rest on."""

from neuroreg.csv_files import write_csv
from neuroreg.robustness.setting_ranks import rank_settings
from neuroreg.robustness.tries import join_tries
from neuroreg.workflow.job import run_job


def main(snakemake):
    params, paths = snakemake.params, iter(snakemake.input)
    tries = {
        tuple(run): join_tries([next(paths) for _ in params.attacks], params.attacks) for run in params.runs
    }
    write_csv(snakemake.output[0], rank_settings(tries, params.tolerance))


run_job(main, snakemake)
