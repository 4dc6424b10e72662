"""Make the common pool of stimuli."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.records import write_record
from neuroreg.files.storage import digests, known_input
from neuroreg.images.stimuli import make_stimuli, stimuli_from_scans
from neuroreg.scans.shown_images import load_shown_images
from neuroreg.workflow.job import run_job


def main(snakemake):
    settings, seed = snakemake.params.settings | snakemake.params.read, snakemake.params.seed
    source, pool_size = settings["source"], settings["pool_size"]
    if snakemake.params.scans:
        shown = list(map(load_shown_images, snakemake.params.scans, snakemake.input.scans))
        taken = [scan for scan in shown if source != "scan" or scan.scan == settings["scan"]]
        others = [scan for scan in shown if scan not in taken]
        stimuli = stimuli_from_scans(taken, pool_size, seed, shared=source == "intersection", others=others)
    else:
        sizes = (pool_size, settings["oracle_size"])
        stimuli = make_stimuli(source, *sizes, settings["path"], seed, settings["crop"])
    inputs = digests(snakemake.input) | known_input(settings["path"], snakemake.params.content)
    write_record(snakemake.output[0], stimuli, config=settings | {"seed": seed}, inputs=inputs)


run_job(main, snakemake)
