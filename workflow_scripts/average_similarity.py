"""Average the denoised similarity of scans."""

from neuroreg.similarity.denoised import denoised_similarity, load_responses
from neuroreg.similarity.matrix import mean_similarity, save_similarity
from neuroreg.workflow.job import run_job


def main(snakemake):
    weighting = snakemake.params.weighting
    scans = zip(snakemake.params.scans, snakemake.input.responses, strict=True)
    similarity = mean_similarity(
        (
            denoised_similarity(name, load_responses(path), weighting["weight_exponent"])
            for name, path in scans
        ),
        {"kind": "denoised", **weighting},
    )
    save_similarity(snakemake.output[0], similarity, inputs=snakemake.input)


run_job(main, snakemake)
