"""Tabulate the scores of the response models beside their baselines."""

import logging

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.figures.latex import save_table
from neuroreg.figures.scores import BASELINES_FORM, SCORE_FORM, score_table
from neuroreg.files.storage import read_json
from neuroreg.workflow.job import run_job


def main(snakemake):
    models = (read_json(path, SCORE_FORM) for path in snakemake.input.models)
    baselines = (read_json(path, BASELINES_FORM) for path in snakemake.input.baselines)
    table = score_table(zip(snakemake.params.scans, models, baselines, strict=True))
    for row in table[table["beats_baselines"] == "no"].itertuples():
        logging.warning("%s: the response model does not predict better than both baselines", row.scan)
    caption = "Scores of the response models beside baselines, means over neurons."
    save_table(snakemake.output, table, caption, "tab:scores", snakemake.params.note)


run_job(main, snakemake)
