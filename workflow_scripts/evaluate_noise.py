"""Measure one classifier's accuracy under Gaussian noise."""

from neuroreg.csv_files import write_csv
from neuroreg.data.classification import load_classification
from neuroreg.devices import choose_device
from neuroreg.robustness.noise import noise_accuracy
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import run_job


def main(snakemake):
    data = load_classification(snakemake.input.data)
    accuracy = noise_accuracy(
        load_model(snakemake.input.model),
        data.test_images,
        data.test_labels,
        seed=snakemake.params.seed,
        batch_size=256,
        device=choose_device(snakemake.params.device),
        **snakemake.params.settings,
    )
    write_csv(snakemake.output[0], accuracy)


run_job(main, snakemake)
