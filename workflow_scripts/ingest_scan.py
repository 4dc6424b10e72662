"""Read a scan in its own format, select neurons, write the consolidated file and what is in it."""

from pathlib import Path

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.download.obtain import recorded_file
from neuroreg.files.records import write_record
from neuroreg.files.storage import write_json
from neuroreg.scans.readers import find_reader
from neuroreg.scans.selection import select_neurons
from neuroreg.scans.summary import log_summary, summarise_scan
from neuroreg.workflow.job import run_job


def main(snakemake):
    name, neurons = snakemake.wildcards.scan, snakemake.params.neurons
    recorded = snakemake.params.recorded
    path = Path(recorded["path"]) if recorded else recorded_file(snakemake.input[0])
    reader = find_reader(path)
    scan = reader.read(path, snakemake.params.missing)
    selection = select_neurons(name, scan, **neurons)
    summary = summarise_scan(name, scan, selection)
    log_summary(summary)
    config = {"format": reader.name, "neurons": neurons, "missing": snakemake.params.missing}
    write_record(snakemake.output.scan, selection.scan, config=config, inputs=[path])
    write_json(snakemake.output.summary, summary)


run_job(main, snakemake)
