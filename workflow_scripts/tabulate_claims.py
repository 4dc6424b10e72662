"""Test the paper's claims on the results."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.checks import kept_epochs, read_runs
from neuroreg.analysis.distances import load_distances
from neuroreg.claims.distance import distance_claims
from neuroreg.claims.gamma import gamma_claims
from neuroreg.claims.noise import condition_claims, sweep_claims
from neuroreg.claims.table import claims_table
from neuroreg.files.records import read_record
from neuroreg.files.storage import write_csv
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.workflow.job import run_job


def main(snakemake):
    inputs, params = snakemake.input, snakemake.params
    sweep, conditions = (
        [read_record(path, NoiseCounts) for path in paths] for paths in (inputs.sweep, inputs.conditions)
    )
    distances = load_distances(inputs.distances)
    distances = distances[distances["model"].isin([run["model"] for run in params.runs])]
    rows = [
        *sweep_claims(sweep, params.sweep),
        *condition_claims(conditions, params.runs, params.conditions, params.classified),
        *gamma_claims(kept_epochs(read_runs(inputs.histories, params.sweep))),
        *distance_claims(distances, params.conditions, params.classified),
    ]
    write_csv(snakemake.output.table, claims_table(rows, params.note))


run_job(main, snakemake)
