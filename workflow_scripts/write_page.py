"""Write the page of the run."""

from pathlib import Path

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.files.storage import write_text
from neuroreg.page.build import make_page
from neuroreg.workflow.job import run_job


def by_stem(paths):
    return {Path(path).stem: path for path in paths}


def main(snakemake):
    inputs, params = snakemake.input, snakemake.params
    page = make_page(
        Path(inputs.template).read_text(encoding="utf-8"),
        by_stem(inputs.drawings),
        by_stem(inputs.tables),
        by_stem(inputs.captions),
        params.titles,
        data=by_stem(inputs.data),
        scans=inputs.scans,
        folder=Path(snakemake.output[0]).parent,
        config=params.config,
        sizes=params.sizes,
        elsewhere=params.elsewhere,
        note=params.note,
        conditions=params.conditions,
        names=params.names,
    )
    write_text(snakemake.output[0], page)


run_job(main, snakemake)
