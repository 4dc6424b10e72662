"""Count the images that scans share."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.storage import write_csv
from neuroreg.images.overlap import image_overlap
from neuroreg.scans.shown_images import load_shown_images
from neuroreg.workflow.job import run_job


def main(snakemake):
    shown = map(load_shown_images, snakemake.params.scans, snakemake.input)
    write_csv(snakemake.output[0], image_overlap(list(shown)))


run_job(main, snakemake)
