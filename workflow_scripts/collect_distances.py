"""Find the smallest distance of each model and sample over all attacks."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.analysis.distances import collect_distances
from neuroreg.files.storage import write_csv
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    entries = zip(params.entries, snakemake.input, strict=True)
    distances = collect_distances(((*entry, path) for entry, path in entries), params.tightening)
    write_csv(snakemake.output[0], distances)


run_job(main, snakemake)
