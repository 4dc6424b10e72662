"""Check a similarity matrix that the user brings, and take it in."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.given import given_similarity
from neuroreg.workflow.job import run_job


def main(snakemake):
    stimuli = read_record(snakemake.input.stimuli, Stimuli)
    similarity = given_similarity(snakemake.params.path, stimuli)
    write_record(snakemake.output[0], similarity, inputs=[*snakemake.input, snakemake.params.path])


run_job(main, snakemake)
