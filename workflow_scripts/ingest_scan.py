"""Read a scan in its own format and write the consolidated file."""

from neuroreg.data.download_record import recorded_file
from neuroreg.scans.readers import find_reader
from neuroreg.scans.scan import save_scan
from neuroreg.workflow.job import run_job


def main(snakemake):
    path = recorded_file(snakemake.input[0])
    reader = find_reader(path)
    save_scan(snakemake.output[0], reader.read(path), config={"format": reader.name}, inputs=[path])


run_job(main, snakemake)
