"""Predict a scan's responses to the common pool and to its own oracle images."""

import neuroreg.workflow.interrupts  # noqa: F401 (first: for a Ctrl-C during the other imports)

# isort: split
import numpy as np

from neuroreg.devices import choose_device
from neuroreg.files.records import read_record, write_record
from neuroreg.images.stimuli import Stimuli
from neuroreg.response_model.files import load_response_model, load_weighting
from neuroreg.response_model.predict import predict_pool
from neuroreg.scans.scan import Scan
from neuroreg.similarity.denoised import PredictedResponses
from neuroreg.similarity.units import response_units
from neuroreg.workflow.job import run_job


def main(snakemake):
    model = load_response_model(snakemake.input.weights).to(
        choose_device(snakemake.params.device, snakemake.resources.devices)
    )
    w, v = load_weighting(snakemake.input.scores)
    stimuli, scan = read_record(snakemake.input.stimuli, Stimuli), read_record(snakemake.input.scan, Scan)
    pool, oracle = ~stimuli.oracle, scan.repeated_images()
    responses = PredictedResponses(
        stimuli.key[pool],
        predict_pool(model, stimuli.images[pool]),
        scan.key[oracle],
        predict_pool(model, scan.images[oracle]),
        w,
        v,
        response_units(scan, "std").astype(np.float32),
    )
    write_record(snakemake.output[0], responses, inputs=snakemake.input)


run_job(main, snakemake)
