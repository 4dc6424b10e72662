"""Read a scan in its own format and write the consolidated file."""

from neuroreg.scans.readers import read_scan
from neuroreg.scans.scan import save_scan
from neuroreg.workflow.job import run_job


def main(snakemake):
    scan = read_scan(snakemake.input[0], snakemake.params.format)
    config = {"format": snakemake.params.format}
    save_scan(snakemake.output[0], scan, config=config, inputs=snakemake.input)


run_job(main, snakemake)
