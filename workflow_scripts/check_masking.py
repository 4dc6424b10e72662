"""Look for signs of masked gradients in what the attacks on all models found."""

import neuroreg.workflow.starting  # noqa: F401 (first: see there)
from neuroreg.devices import choose_device
from neuroreg.files.storage import write_csv
from neuroreg.robustness.attack_result import closest_adversarials, join_runs
from neuroreg.robustness.masking import masking_checks
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    closest = join_runs(snakemake.input.attacks, params.runs, params.attacks, closest_adversarials)
    networks = ((run, load_model(path)) for run, path in zip(closest, snakemake.input.models, strict=True))
    checks = masking_checks(
        networks,
        closest,
        params.reference,
        apart=params.apart,
        device=choose_device(params.device, snakemake.resources.devices),
        **params.settings,
    )
    write_csv(snakemake.output[0], checks)


run_job(main, snakemake)
