"""Draw a few images beside their closest adversarials."""

from neuroreg.figures.examples import examples_figure
from neuroreg.figures.style import save_figure
from neuroreg.files.records import read_record
from neuroreg.files.storage import write_csv
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attack_result import closest_adversarials
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    paths = iter(snakemake.input.attacks)
    closest = {
        model: closest_adversarials([next(paths) for _ in params.attacks], params.attacks)
        for model in params.models
    }
    classes = read_record(snakemake.input.data, ClassificationData).classes
    figure, numbers = examples_figure(closest, params.models, classes, params.note, params.seed)
    save_figure(snakemake.output.figure, figure)
    write_csv(snakemake.output.numbers, numbers)


run_job(main, snakemake)
