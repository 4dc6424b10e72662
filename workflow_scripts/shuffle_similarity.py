"""Shuffle the identities of a similarity matrix's images."""

from neuroreg.seeds import derive_seed
from neuroreg.similarity.matrix import load_similarity, save_similarity, shuffled
from neuroreg.workflow.job import run_job


def main(snakemake):
    seed = derive_seed(snakemake.params.seed, "shuffle", snakemake.wildcards.target)
    similarity = shuffled(load_similarity(snakemake.input[0]), seed)
    save_similarity(snakemake.output[0], similarity, inputs=snakemake.input)


run_job(main, snakemake)
