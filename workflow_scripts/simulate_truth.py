"""Simulate a V1 scan and write what only its simulator knows."""

from neuroreg.images.stimuli import load_stimuli
from neuroreg.simulator.simulate import simulate_scan
from neuroreg.simulator.truth import save_truth
from neuroreg.workflow.job import run_job


def main(snakemake):
    simulated = simulate_scan(
        load_stimuli(snakemake.input.stimuli),
        n_neurons=snakemake.params.n_neurons,
        seed=snakemake.params.seed,
        name=snakemake.wildcards.scan,
        **snakemake.params.settings,
    )
    save_truth(
        snakemake.output[0],
        simulated.truth,
        config=snakemake.params.settings,
        inputs=[snakemake.input.stimuli],
    )


run_job(main, snakemake)
