"""Similarity of the stimuli's VGG19 features."""

from neuroreg.devices import choose_device
from neuroreg.images.stimuli import load_stimuli
from neuroreg.similarity.features import feature_similarity, load_vgg_weights
from neuroreg.similarity.matrix import save_similarity
from neuroreg.workflow.job import run_job


def main(snakemake):
    similarity = feature_similarity(
        load_stimuli(snakemake.input.stimuli),
        load_vgg_weights(snakemake.params.weights),
        device=choose_device(snakemake.params.device),
    )
    save_similarity(snakemake.output[0], similarity, inputs=snakemake.input)


run_job(main, snakemake)
