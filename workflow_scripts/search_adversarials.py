"""Search the smallest adversarial perturbations of one classifier, attack by attack."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.robustness.searches import search_attacks
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    search_attacks(
        snakemake.input.model,
        snakemake.input.data,
        snakemake.output,
        params.attacks,
        params.code,
        part=int(snakemake.wildcards.get("part", 0)),
        devices=snakemake.resources.devices,
        **params.settings,
    )


run_job(main, snakemake)
