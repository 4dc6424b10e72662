"""Fit the predictive model of a scan and measure its neurons."""

from functools import partial

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.devices import choose_device
from neuroreg.errors import naming
from neuroreg.files.records import read_record
from neuroreg.files.resume import ResumeFile
from neuroreg.response_model.files import save_response_model
from neuroreg.response_model.fit import fit_response_model
from neuroreg.response_model.predict import predict_trials
from neuroreg.response_model.reliability import measure_neurons
from neuroreg.response_model.settings import FitSettings
from neuroreg.scans.scan import Scan
from neuroreg.seeds import derive_seed
from neuroreg.workflow.job import run_job


def main(snakemake):
    scan = read_record(snakemake.input.scan, Scan)
    weights, scores = snakemake.output.weights, snakemake.output.scores
    with naming(snakemake.wildcards.scan), ResumeFile.beside(weights, snakemake.params.code) as resume:
        fitted = fit_response_model(
            scan,
            FitSettings(**snakemake.params.settings),
            seed=derive_seed(snakemake.params.seed, "response model", snakemake.wildcards.scan),
            device=choose_device(snakemake.params.device, snakemake.resources.devices),
            resume=resume,
        )
        predict = partial(predict_trials, fitted.model, scan)
        quality = measure_neurons(scan, predict, bias_correction=snakemake.params.bias_correction)
        save_response_model(weights, scores, fitted, quality)


run_job(main, snakemake)
