"""Train one classifier, regularised or not."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.devices import choose_device
from neuroreg.files.records import read_record
from neuroreg.files.resume import ResumeFile
from neuroreg.files.storage import write_csv
from neuroreg.images.classification import ClassificationData
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.matrix import SimilarityMatrix
from neuroreg.training.checkpoints import save_model
from neuroreg.training.run import make_target, train
from neuroreg.training.settings import TrainingSettings
from neuroreg.workflow.job import run_job


def main(snakemake):
    data = read_record(snakemake.input.data, ClassificationData)
    target = None
    if snakemake.params.alpha > 0:
        similarity, stimuli = snakemake.input.target
        target = make_target(read_record(similarity, SimilarityMatrix), read_record(stimuli, Stimuli))
    with ResumeFile.beside(snakemake.output.model, snakemake.params.code) as resume:
        trained = train(
            data.train_images,
            data.train_labels,
            len(data.classes),
            settings=TrainingSettings(**snakemake.params.settings),
            seed=int(snakemake.wildcards.seed),
            alpha=snakemake.params.alpha,
            target=target,
            device=choose_device(snakemake.params.device, snakemake.resources.devices),
            resume=resume,
        )
        write_csv(snakemake.output.history, trained.history)
        save_model(snakemake.output.model, trained.model, trained.similarity, data.classes)


run_job(main, snakemake)
