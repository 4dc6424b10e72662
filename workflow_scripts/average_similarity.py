"""Average the denoised similarity of scans."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import read_record, write_record
from neuroreg.similarity.denoised import PredictedResponses, denoised_similarity
from neuroreg.similarity.matrix import mean_similarity
from neuroreg.workflow.job import run_job


def main(snakemake):
    weighting = snakemake.params.weighting
    scans = zip(snakemake.params.scans, snakemake.input.responses, strict=True)
    exponent, units = weighting["weight_exponent"], weighting["units"]
    similarity = mean_similarity(
        (
            denoised_similarity(name, read_record(path, PredictedResponses), exponent, units)
            for name, path in scans
        ),
        {"kind": "denoised", **weighting},
    )
    write_record(snakemake.output[0], similarity, inputs=snakemake.input)


run_job(main, snakemake)
