"""Draw measured and modelled similarity of the scans."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.figures.similarity import similarity_figure
from neuroreg.figures.style import save_drawing
from neuroreg.files.records import read_record
from neuroreg.scans.scan import Scan
from neuroreg.similarity.denoised import PredictedResponses
from neuroreg.similarity.matrix import SimilarityMatrix
from neuroreg.similarity.oracle import compare_scans
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    files = zip(params.scans, snakemake.input.scans, snakemake.input.responses, strict=True)
    found = compare_scans(
        (
            (name, read_record(scan, Scan), read_record(responses, PredictedResponses))
            for name, scan, responses in files
        ),
        exponent=params.weighting["weight_exponent"],
        units=params.weighting["units"],
        seed=params.seed,
    )
    # The first scan that has them stands for all.
    shown, oracle = next(iter(found.within.items()), ("", None))
    matrices = oracle and oracle.matrices()
    pool = read_record(snakemake.input.target, SimilarityMatrix).matrix
    figure, numbers = similarity_figure(
        matrices, pool, found.correlations, found.effective, note=params.note, scan=shown
    )
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
