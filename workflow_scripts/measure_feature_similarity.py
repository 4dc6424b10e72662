"""Similarity of the stimuli's VGG19 features."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.devices import choose_device
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.features import feature_similarity, load_vgg_weights
from neuroreg.workflow.job import run_job


def main(snakemake):
    similarity = feature_similarity(
        read_record(snakemake.input.stimuli, Stimuli),
        load_vgg_weights(snakemake.params.weights),
        device=choose_device(snakemake.params.device, snakemake.resources.devices),
    )
    weights = snakemake.params.weights
    inputs = [*snakemake.input, *([weights] if weights else [])]
    write_record(snakemake.output[0], similarity, inputs=inputs)


run_job(main, snakemake)
