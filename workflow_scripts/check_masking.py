"""Look for signs of masked gradients in what the attacks on all models found."""

from neuroreg.devices import choose_device
from neuroreg.files.storage import write_csv
from neuroreg.robustness.attack_result import closest_adversarials
from neuroreg.robustness.masking import masking_checks
from neuroreg.training.checkpoints import load_model
from neuroreg.workflow.job import run_job


def main(snakemake):
    params = snakemake.params
    runs = [tuple(run) for run in params.runs]
    paths = iter(snakemake.input.attacks)
    closest = {
        run: closest_adversarials([next(paths) for _ in params.attacks], params.attacks) for run in runs
    }
    networks = ((run, load_model(path)) for run, path in zip(runs, snakemake.input.models, strict=True))
    checks = masking_checks(
        networks,
        closest,
        params.reference,
        seed=params.seed,
        batch_size=params.batch_size,
        device=choose_device(params.device),
    )
    write_csv(snakemake.output[0], checks)


run_job(main, snakemake)
