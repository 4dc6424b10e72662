"""Average the measured single-trial similarity of scans."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.raw import raw_similarity
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    similarity = raw_similarity(
        dict(zip(params.scans, snakemake.input.scans, strict=True)),
        read_record(snakemake.input.stimuli, Stimuli),
        exponent=params.weighting["weight_exponent"],
        units=params.weighting["units"],
        bias_correction=params.weighting["bias_correction"],
        seed=params.seed,
    )
    write_record(snakemake.output[0], similarity, inputs=snakemake.input)


run_job(main, snakemake)
