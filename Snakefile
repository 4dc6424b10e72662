import atexit
import os
import sys
from pathlib import Path

import snakemake.benchmark
from snakemake.utils import min_version

min_version("9.20")

BASE = Path(workflow.basedir)
# The library beside this file, here and in every job, whatever environment a job runs in.
sys.path.insert(0, str(BASE / "src"))
search_path = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
os.environ.update(PYTHONPATH=os.pathsep.join([str(BASE / "src"), *search_path]))

try:
    from neuroreg.errors import InputError, on_terminal

    import neuroreg.workflow.config
except ModuleNotFoundError as error:
    sys.exit(
        f"Error: {sys.executable}: no Python package '{error.name}'; expected the environment that make sets up "
        "(source .venv/bin/activate)."
    )
except InputError as error:  # a module of the user's own declares what it cannot
    sys.exit(f"Error: {on_terminal(str(error))}")


configfile: BASE / "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/scans.smk"
include: "rules/similarity.smk"
include: "rules/training.smk"
include: "rules/noise.smk"
include: "rules/attacks.smk"
include: "rules/figures.smk"
include: "rules/claims.smk"
include: "rules/page.smk"


rule all:
    default_target: True
    input:
        "results/fig1.pdf",
        "results/table1.csv",
        "results/table1.tex",
        "results/fig2.pdf",
        ["results/tightening.pdf"] if TIGHTENING else [],
        "results/survival.pdf",
        "results/convergence.pdf",
        "results/examples.pdf",
        "results/masking.csv",
        "results/settings.csv",
        "results/table2.csv",
        "results/table2.tex",
        "results/scores.csv",
        "results/scores.tex",
        "results/noise.pdf",
        "results/similarity.pdf",
        "results/training.pdf",
        "results/overlap.csv",
        "results/claims.csv",
        "results/index.html",


# Seconds between Snakemake's first looks at a job's memory, .5 by itself: each look at a process with PyTorch takes
# some 30 ms of processor time, 3 to 4 % of the default run's. A job's log tells its peak, which the page shows.
snakemake.benchmark.BENCHMARK_INTERVAL_SHORT = 2

# On a terminal, a line that tells how far everything is; before what writes there, to make room for it.
settings = workflow.output_settings
STATUS = status_line(
    sys.stdout if settings.stdout else sys.stderr, (one.name.lower() for one in settings.quiet or ())
)
if STATUS and workflow.is_main_process:
    logger.handlers.insert(0, STATUS)


onstart:
    end_on_sigterm(workflow.scheduler)
    # One line for each job in place of its inputs, outputs and resources, which a dry run shows.
    for one in workflow.rules:
        one.message = one.message or "{rule} {wildcards}"
    print(opening(config, NOTE, "results"), file=sys.stderr)
    if STATUS:
        STATUS.start()
        atexit.register(STATUS.end)
    # Where Slurm runs the jobs, what it does with them is told in words.
    if workflow.executor_plugin.name == "slurm":
        watch = Watch(Path.cwd(), logger.warning)
        watch.start()
        atexit.register(watch.end)


onsuccess:
    if STATUS:
        STATUS.end()
    reached = [str(file) for job in workflow.dag.jobs for file in job.output]
    print(closing("results", map(str, workflow.dag.derived_targetfiles), reached), file=sys.stderr)


onerror:
    if STATUS:
        STATUS.end()
    print(failing(log), file=sys.stderr)
