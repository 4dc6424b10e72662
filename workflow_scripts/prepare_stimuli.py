"""Make the common pool of stimuli."""

from neuroreg.data.stimuli import make_stimuli, save_stimuli, stimuli_from_scan
from neuroreg.scans.scan import load_scan
from neuroreg.workflow.job import run_job


def main(snakemake):
    settings, seed = snakemake.params.settings, snakemake.params.seed
    if settings["source"] == "scan":
        stimuli = stimuli_from_scan(load_scan(snakemake.input.scan), settings["pool_size"], seed)
    else:
        stimuli = make_stimuli(
            settings["source"], settings["pool_size"], settings["oracle_size"], settings["path"], seed
        )
    save_stimuli(snakemake.output[0], stimuli, config=settings | {"seed": seed}, inputs=snakemake.input)


run_job(main, snakemake)
