"""Download a scan, or find it in the folder of downloads, and record where it lies."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.download.obtain import obtain, record_download
from neuroreg.workflow.job import run_job


def main(snakemake):
    settings = snakemake.params.settings
    path, digest = obtain(**settings)
    record_download(snakemake.output[0], path, digest, settings["url"], snakemake.params.replaced)


run_job(main, snakemake)
