"""Fit the predictive model of a scan and measure its neurons."""

from functools import partial

from neuroreg.devices import choose_device
from neuroreg.response_model.files import save_response_model
from neuroreg.response_model.fit import FitSettings, fit_response_model
from neuroreg.response_model.predict import predict_trials
from neuroreg.response_model.reliability import measure_neurons
from neuroreg.scans.scan import load_scan
from neuroreg.seeds import derive_seed
from neuroreg.workflow.job import run_job


def main(snakemake):
    scan = load_scan(snakemake.input.scan)
    fitted = fit_response_model(
        scan,
        FitSettings(**snakemake.params.settings),
        seed=derive_seed(snakemake.params.seed, "response model", snakemake.wildcards.scan),
        device=choose_device(snakemake.params.device),
    )
    predict = partial(predict_trials, fitted.model, scan)
    quality = measure_neurons(scan, predict, bias_correction=snakemake.params.bias_correction)
    save_response_model(snakemake.output.weights, snakemake.output.scores, fitted, quality)


run_job(main, snakemake)
