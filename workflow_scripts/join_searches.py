"""Put together what the parts of one search have found."""

from neuroreg.robustness.attack_result import join_parts, load_attack, save_attack
from neuroreg.workflow.job import run_job


def main(snakemake):
    params, inputs = snakemake.params, [snakemake.input.model, snakemake.input.data]
    result = join_parts([load_attack(path) for path in snakemake.input.parts])
    config = params.attack | {"repetitions": params.repetitions, "seed": params.seed}
    save_attack(snakemake.output[0], result, config=config, inputs=inputs)


run_job(main, snakemake)
