"""Draw measured and modelled similarity of the scans."""

from neuroreg.figures.similarity import similarity_figure
from neuroreg.figures.style import save_drawing
from neuroreg.scans.scan import load_scan
from neuroreg.similarity.denoised import load_responses
from neuroreg.similarity.matrix import load_similarity
from neuroreg.similarity.oracle import compare_scans
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    files = zip(params.scans, snakemake.input.scans, snakemake.input.responses, strict=True)
    within, correlations = compare_scans(
        ((name, load_scan(scan), load_responses(responses)) for name, scan, responses in files),
        exponent=params.weight_exponent,
        seed=params.seed,
    )
    # The first scan that has them stands for all.
    shown, oracle = next(iter(within.items()), ("", None))
    matrices = oracle and oracle.matrices()
    pool = load_similarity(snakemake.input.target).matrix
    figure, numbers = similarity_figure(matrices, pool, correlations, params.note, shown)
    save_drawing(snakemake.output, figure, numbers)


run_job(main, snakemake)
