"""Draw a few images beside their closest adversarials."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.figures.examples import examples_figure
from neuroreg.figures.style import save_drawing
from neuroreg.files.records import read_record
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import closest_adversarials, join_runs
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    closest = join_runs(snakemake.input.attacks, params.models, params.attacks, closest_adversarials)
    classes = read_record(snakemake.input.data, ClassificationData).classes
    figure, numbers = examples_figure(closest, params.models, classes, params.note, params.seed)
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
