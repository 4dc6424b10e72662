"""Predict a scan's responses to the common pool and to its own oracle images."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.devices import choose_device
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.response_model.files import load_response_model, load_weighting
from neuroreg.scans.scan import Scan
from neuroreg.similarity.predicted import predict_responses
from neuroreg.workflow.job import run_job


def main(snakemake):
    model = load_response_model(snakemake.input.weights).to(
        choose_device(snakemake.params.device, snakemake.resources.devices)
    )
    responses = predict_responses(
        model,
        *load_weighting(snakemake.input.scores),
        read_record(snakemake.input.stimuli, Stimuli),
        read_record(snakemake.input.scan, Scan),
    )
    write_record(snakemake.output[0], responses, inputs=snakemake.input)


run_job(main, snakemake)
