"""Measure one classifier's accuracy under Gaussian noise."""

from neuroreg.devices import choose_device
from neuroreg.files.storage import write_csv
from neuroreg.images.classification import load_classification
from neuroreg.robustness.noise import count_correct
from neuroreg.robustness.noise_counts import save_noise_counts
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import run_job


def main(snakemake):
    data = load_classification(snakemake.input.data)
    counts = count_correct(
        load_model(snakemake.input.model),
        data.test_images,
        data.test_labels,
        seed=snakemake.params.seed,
        batch_size=256,
        device=choose_device(snakemake.params.device),
        **snakemake.params.settings,
    )
    save_noise_counts(snakemake.output.counts, counts)
    write_csv(snakemake.output.accuracy, counts.accuracy())


run_job(main, snakemake)
