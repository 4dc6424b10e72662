"""Our searches for the smallest perturbation against Foolbox's own loops: time and distance in one run.

    python benchmarks/attacks.py
    python benchmarks/attacks.py --model results/models/none/seed1/model.safetensors \\
        --data results/classification.h5

Both attack the same samples of the same model in float32, from the same starts, with the same numbers of
steps, each attack in a process of its own, the fast ones first; a row is printed as soon as it is done. Ours
is `search`, which also verifies what it finds; Foolbox's is its attack called for one batch and repetition
after the other, which is verified afterwards. It has no JSMA and no SparseFool; its PGD and AdamPGD know one
epsilon only, and what stands beside ours is their steps in a search for each sample's (`foolbox_pgd`).
Without --model a small ResNet18 is trained on scikit-learn's digits, enlarged to 32x32.

    total      seconds from the start of the process to the last result
    cpu        seconds of processor time, all threads; what else the machine does hardly changes it
    imports    of total, Python and its imports
    first      of cpu, a search of two steps before (Foolbox's Brendel & Bethge: with compilation)
    found      samples with an adversarial
    median     over these
    mean       as `told_mean` has it

With --one-process all happens in this process, ours first: imports and a GPU's start are paid once, and what
is printed are seconds of each attack alone. The model's own time is that of as many forward and backward
passes, unfolded, in batches of ours.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BRENDEL_BETHGE = ("brendel_bethge_l0", "brendel_bethge_l1", "brendel_bethge_l2", "brendel_bethge_linf")
PROJECTED = ("pgd", "adam_pgd")
ONLY_OURS = ("jsma", "sparsefool")
ATTACKS = ("ddn", "carlini_wagner", *PROJECTED, *ONLY_OURS, *BRENDEL_BETHGE)
# Values of epsilon; each takes all steps until one has succeeded.
EPSILONS = 10
# C&W: as many values of its constant; each takes all steps.
SEARCHES = 3
HEADER = "attack              engine      total     cpu  imports   first  found  median     mean"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=320, help="rows of ours")
    parser.add_argument("--foolbox-batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=16, help="of the model trained here")
    parser.add_argument("--epochs", type=int, default=2, help="of its training")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--attacks", nargs="+", default=ATTACKS, choices=ATTACKS)
    parser.add_argument("--engines", nargs="+", default=("ours", "foolbox"), choices=("ours", "foolbox"))
    parser.add_argument("--one-process", action="store_true", help="imports once; ours first")
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "ATTACK", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def setting(attack: str, arguments: argparse.Namespace) -> dict:
    """Return what both engines are told; the radius is that of Foolbox's default in a batch of 16."""
    if attack in BRENDEL_BETHGE:
        return {"steps": arguments.steps, "radius": 16 * 1024 * 1e-3 / 32, "momentum": 0.8}
    if attack == "ddn":
        return {"steps": arguments.steps, "gamma": 0.05, "init_epsilon": 1.0}
    if attack in PROJECTED:
        return {"steps": max(1, arguments.steps // EPSILONS), "search_steps": EPSILONS, "rel_stepsize": 0.25}
    if attack in ONLY_OURS:
        return {}
    return {
        "steps": arguments.steps,
        "binary_search_steps": SEARCHES,
        "stepsize": 1e-2,
        "initial_const": 1e-1,
        "start_noise": 0.0,
    }


def prepare(arguments: argparse.Namespace, folder: Path) -> tuple:
    """Write model, samples, pool and starts for the processes to come; return model, images and labels."""
    import numpy as np
    import torch
    from safetensors.numpy import save_file

    from neuroreg.robustness.evaluation import predict, to_input
    from neuroreg.robustness.minimal_distance import choose_samples
    from neuroreg.robustness.starting_points import choose_starting_points, require_starting_points
    from neuroreg.seeds import derive_seed
    from neuroreg.training.checkpoints import save_model

    model, images, labels = load(arguments) if arguments.model else train(arguments)
    logits = predict(model, to_input(images), batch_size=250, device=torch.device("cpu")).numpy()
    correct = logits.argmax(axis=1) == labels
    right = correct.nonzero()[0]
    # In proportion to the classes, as the workflow does.
    chosen = right[choose_samples(labels[right], min(arguments.samples, len(right)), seed=1)]
    seeds = np.array([derive_seed(1, "attack", int(index)) for index in chosen])
    starts = [
        choose_starting_points(logits, labels, labels[chosen], seeds, repetition)
        for repetition in range(arguments.repetitions)
    ]
    there = torch.from_numpy(starts[0] >= 0)
    require_starting_points("Brendel & Bethge", there, torch.ones_like(there), chosen)
    chosen, starts = chosen[there], [each[there] for each in starts]
    save_model(folder / "model.safetensors", model, {})
    save_file(
        {"images": images, "labels": labels, "chosen": chosen, "starts": np.stack(starts)},
        folder / "samples.safetensors",
    )
    print(
        f"accuracy {correct.mean():.3f}; {len(chosen)} correct samples x {arguments.repetitions} repetitions "
        f"x {arguments.steps} steps, {arguments.threads} threads, {arguments.device}"
    )
    return model, images[chosen], labels[chosen]


def load(arguments: argparse.Namespace) -> tuple:
    from neuroreg.files.records import read_record
    from neuroreg.images.classification import ClassificationData
    from neuroreg.robustness.minimal_distance import choose_samples
    from neuroreg.training.checkpoints import load_model

    data = read_record(arguments.data, ClassificationData)
    pool = choose_samples(data.test_labels, min(1000, len(data.test_labels)), seed=1)
    return load_model(arguments.model).eval(), data.test_images[pool], data.test_labels[pool]


def train(arguments: argparse.Namespace) -> tuple:
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from torch.nn import functional as F

    from neuroreg.robustness.evaluation import to_input
    from neuroreg.training.networks import ResNet

    data = load_digits()
    images = torch.from_numpy(data.images).float()[:, None] * (255 / 16)
    images = F.interpolate(images, size=32, mode="bilinear").round().clamp(0, 255).to(torch.uint8)[:, 0]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images.numpy()[order], data.target.astype(np.int64)[order]
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    model = ResNet(width=arguments.width).to(device)
    x, y = to_input(images[:1200]).to(device), torch.from_numpy(labels[:1200]).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(arguments.epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    return model.eval().cpu(), images[1200:], labels[1200:]


def run_one(arguments: argparse.Namespace, engine: str, attack: str, folder: Path) -> dict[str, float]:
    """Do one attack with one engine in this process, write what it found and return how long it took."""
    begun, cpu = time.time() if arguments.begun is None else arguments.begun, time.process_time()
    import torch

    torch.set_num_threads(arguments.threads)
    if engine == "ours" or attack in PROJECTED:
        from neuroreg.robustness.attacks.registry import find_method

        find_method(attack).load()
    else:
        import foolbox  # noqa: F401
        import numba  # noqa: F401
    from safetensors.numpy import load_file, save_file

    from neuroreg.training.checkpoints import load_model

    times = {"imports": time.time() - begun}
    model = load_model(folder / "model.safetensors")
    samples = load_file(folder / "samples.safetensors")
    attacked = {"ours": ours, "foolbox": foolboxs}[engine]
    if attack not in ONLY_OURS:  # whose first step is all of them
        first = time.process_time()
        attacked(arguments, attack, model, samples, first=True)
        synchronise(arguments)
        times["first"] = time.process_time() - first
    found = attacked(arguments, attack, model, samples, first=False)
    synchronise(arguments)
    times["total"] = time.time() - begun
    # Of a process of its own from its start on.
    times["cpu"] = time.process_time() - cpu * arguments.one_process
    save_file({"found": found}, folder / f"{engine}_{attack}.safetensors")
    return times


def ours(arguments: argparse.Namespace, attack: str, model, samples: dict, *, first: bool, method: str = ""):
    """Return what `search` finds closest in the attack's own norm, float32 (1, S, H, W)."""
    import torch

    from neuroreg.robustness.attacks.registry import find_method
    from neuroreg.robustness.minimal_distance import search

    chosen = samples["chosen"][: arguments.batch] if first else samples["chosen"]
    result = search(
        model,
        samples["images"],
        samples["labels"],
        chosen,
        method=method or attack,
        settings=[setting(attack, arguments) | ({"steps": 2} if first else {})],
        repetitions=1 if first else arguments.repetitions,
        seed=1,
        batch_size=arguments.batch,
        device=torch.device(arguments.device),
    )
    return result.best_adversarial[find_method(attack).norm][None].copy()


def foolboxs(arguments: argparse.Namespace, attack: str, model, samples: dict, *, first: bool):
    """Return what Foolbox's attack finds in each repetition, float32 (repetitions, S, H, W)."""
    import foolbox
    import numpy as np
    import torch

    from neuroreg.robustness.evaluation import to_input

    if attack in PROJECTED:
        return ours(arguments, attack, model, samples, first=first, method=f"foolbox_{attack}")
    told = setting(attack, arguments) | ({"steps": 2} if first else {})
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=arguments.device)
    x = to_input(samples["images"][samples["chosen"]]).to(arguments.device)
    y = torch.from_numpy(samples["labels"][samples["chosen"]]).to(arguments.device)
    starts = torch.from_numpy(samples["starts"])
    pool = to_input(samples["images"]).to(arguments.device)
    if attack in BRENDEL_BETHGE:
        family = {
            "brendel_bethge_l0": foolbox.attacks.L0BrendelBethgeAttack,
            "brendel_bethge_l1": foolbox.attacks.L1BrendelBethgeAttack,
            "brendel_bethge_l2": foolbox.attacks.L2BrendelBethgeAttack,
            "brendel_bethge_linf": foolbox.attacks.LinfinityBrendelBethgeAttack,
        }[attack]
        attacker = family(steps=told["steps"], momentum=told["momentum"])
    elif attack == "ddn":
        attacker = foolbox.attacks.DDNAttack(**told)
    else:
        del told["start_noise"]
        attacker = foolbox.attacks.L2CarliniWagnerAttack(**told)
    found = []
    for repetition in range(1 if first else arguments.repetitions):
        parts = []
        for rows in torch.arange(len(x)).split(arguments.foolbox_batch)[: 1 if first else None]:
            extra = {}
            if attack in BRENDEL_BETHGE:
                # Foolbox's radius is lr times the number of values in the batch.
                attacker.lr = told["radius"] * 32 / x[rows].numel()
                extra = {"starting_points": pool[starts[repetition, rows]]}
            criterion = foolbox.criteria.Misclassification(y[rows])
            here = attacker.run(wrapped, x[rows], criterion, **extra)
            # Where it finds nothing it answers with a black image, which may be adversarial.
            missing = (here == 0).flatten(1).all(dim=1) & (attack == "carlini_wagner")
            parts.append(torch.where(missing[:, None, None, None], x[rows], here).cpu()[:, 0])
        found.append(torch.cat(parts).numpy())
    return np.stack(found)


def distances(arguments: argparse.Namespace, folder: Path, engine: str, attack: str, model, images, labels):
    """Return the verified distances (S,) of the closest of what was found, inf where nothing was."""
    import numpy as np
    import torch
    from safetensors.numpy import load_file

    from neuroreg.robustness.attacks.registry import find_method
    from neuroreg.robustness.evaluation import to_input
    from neuroreg.robustness.verification import verify

    found = load_file(folder / f"{engine}_{attack}.safetensors")["found"]
    each = [
        verify(
            model,
            to_input(images),
            torch.from_numpy(labels),
            torch.from_numpy(part)[:, None],
            batch_size=250,
            device=torch.device("cpu"),
        ).distance[find_method(attack).norm]
        for part in found
    ]
    return np.min([part.numpy() for part in each], axis=0)


def synchronise(arguments: argparse.Namespace) -> None:
    """Let a GPU finish what it was told before the clock is read."""
    import torch

    if torch.device(arguments.device).type == "cuda":
        torch.cuda.synchronize()


def floor(arguments: argparse.Namespace, model, images) -> float:
    """Return seconds of the model's forward and backward passes alone for one attack's work."""
    import torch

    from neuroreg.robustness.evaluation import evaluation, to_input

    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    x = to_input(images).repeat(arguments.repetitions, 1, 1, 1)[: arguments.batch].to(device)
    passes = 10
    with evaluation(model, device):
        for _ in range(2):
            synchronise(arguments)
            begun = time.perf_counter()
            for _ in range(passes):
                point = x.detach().requires_grad_(True)
                torch.autograd.grad(model(point).amax(dim=1).sum(), point)
            synchronise(arguments)
            seconds = time.perf_counter() - begun
    return seconds / passes / len(x) * len(images) * arguments.repetitions * arguments.steps


def measured(arguments: argparse.Namespace, engine: str, attack: str, folder: Path) -> dict[str, float]:
    """Return what `run_one` does, in a process of its own unless one is asked for."""
    if arguments.one_process:
        return run_one(arguments, engine, attack, folder)
    command = [sys.executable, __file__, *sys.argv[1:], "--one", engine, attack, str(folder)]
    command += ["--begun", str(time.time())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(engine: str, attack: str, times: dict[str, float], found, largest) -> None:
    """Print a row of the table; `found` are the distances (S,), `largest` those of `largest_distances`."""
    import numpy as np
    from means import told_mean

    there = np.isfinite(found)
    first = f"{times['first']:8.2f}" if "first" in times else " " * 8
    print(
        f"{attack:20}{engine:9}{times['total']:8.1f}{times['cpu']:8.1f}{times['imports']:9.1f}{first}"
        f"{int(there.sum()):7d}  {np.median(found[there]):<11.6f}{told_mean(found, largest)}",
        flush=True,
    )


def compare(times: dict[tuple[str, str], dict], distance: dict[tuple[str, str], object]) -> None:
    """Print what both engines have done, over the samples for which both found an adversarial."""
    import numpy as np

    both = [attack for engine, attack in times if engine == "ours" and ("foolbox", attack) in times]
    if not both:
        return
    print("Foolbox's over ours:  total     cpu   cpu less the first step mean distance, ours over Foolbox's")
    for attack in [*both, "Brendel & Bethge"]:
        summed = [name for name in both if name in BRENDEL_BETHGE] if attack not in both else [attack]
        if not summed:
            continue
        ours, theirs = (
            {
                key: sum(times[engine, name].get(key, 0.0) for name in summed)
                for key in ("total", "cpu", "first")
            }
            for engine in ("ours", "foolbox")
        )
        ratio = ""
        if attack in both:
            one, other = distance["ours", attack], distance["foolbox", attack]
            common = np.isfinite(one) & np.isfinite(other)
            ratio = f"{one[common].mean() / other[common].mean():.4f}"
        print(
            f"{attack:20}{theirs['total'] / ours['total']:8.2f}{theirs['cpu'] / ours['cpu']:8.2f}"
            f"{(theirs['cpu'] - theirs['first']) / (ours['cpu'] - ours['first']):17.2f}{ratio:>32}",
            flush=True,
        )


def main() -> None:
    arguments = parse()
    if arguments.one:
        engine, attack, folder = arguments.one
        print(json.dumps(run_one(arguments, engine, attack, Path(folder))))
        return
    from neuroreg.robustness.attacks.registry import find_method
    from neuroreg.robustness.largest import largest_distances

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model, images, labels = prepare(arguments, folder)
        seconds, largest = floor(arguments, model, images), largest_distances(images)
        print(f"model alone {seconds:.1f} s for as many steps (C&W: {SEARCHES} times)")
        print(HEADER, flush=True)
        jobs = [(engine, attack) for attack in arguments.attacks for engine in arguments.engines]
        if arguments.one_process:
            jobs.sort(key=lambda job: job[0] == "foolbox")
        times, distance = {}, {}
        for engine, attack in jobs:
            if engine == "foolbox" and attack in ONLY_OURS:
                continue
            times[engine, attack] = measured(arguments, engine, attack, folder)
            distance[engine, attack] = distances(arguments, folder, engine, attack, model, images, labels)
            norm = find_method(attack).norm
            show(engine, attack, times[engine, attack], distance[engine, attack], largest[norm])
        compare(times, distance)


if __name__ == "__main__":
    main()
