"""Shuffle the identities of a similarity matrix's images."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record, write_record
from neuroreg.seeds import derive_seed
from neuroreg.similarity.matrix import SimilarityMatrix, shuffled
from neuroreg.workflow.job import run_job


def main(snakemake):
    seed = derive_seed(snakemake.params.seed, "shuffle", *snakemake.params.names)
    similarity = shuffled(read_record(snakemake.input[0], SimilarityMatrix), seed)
    write_record(snakemake.output[0], similarity, inputs=snakemake.input)


run_job(main, snakemake)
