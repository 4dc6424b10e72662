"""Average the measured single-trial similarity of scans."""

from neuroreg.images.stimuli import load_stimuli
from neuroreg.similarity.matrix import save_similarity
from neuroreg.similarity.raw import raw_similarity
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    similarity = raw_similarity(
        dict(zip(params.scans, snakemake.input.scans, strict=True)),
        load_stimuli(snakemake.input.stimuli),
        exponent=params.weighting["weight_exponent"],
        bias_correction=params.weighting["bias_correction"],
        seed=params.seed,
    )
    save_similarity(snakemake.output[0], similarity, inputs=snakemake.input)


run_job(main, snakemake)
