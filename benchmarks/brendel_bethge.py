"""Our Brendel-Bethge attack against Foolbox's: same model, samples, starts and steps; time and distance.

    python benchmarks/brendel_bethge.py --samples 32 --steps 100

The model is a small ResNet18 trained on scikit-learn's digits, enlarged to 32x32.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from neuroreg.networks import ResNet
from neuroreg.robustness.attacks import boundary_attack
from neuroreg.robustness.attacks.rows import setting_of_rows
from neuroreg.robustness.attacks.starting_points import choose_starting_points
from neuroreg.robustness.evaluation import evaluation, predict, to_input
from neuroreg.robustness.verification import verify


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 (N, 32, 32) and labels int64 (N,) in random order."""
    data = load_digits()
    images = torch.from_numpy(data.images).float()[:, None] * (255 / 16)
    images = F.interpolate(images, size=32, mode="bilinear").round().clamp(0, 255).to(torch.uint8)[:, 0]
    order = np.random.default_rng(0).permutation(len(images))
    return images.numpy()[order], data.target.astype(np.int64)[order]


def train(images: np.ndarray, labels: np.ndarray, width: int, epochs: int) -> ResNet:
    torch.manual_seed(0)
    model, x, y = ResNet(width=width), to_input(images), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    return model.eval()


def floor(model: ResNet, x: torch.Tensor, steps: int) -> float:
    """Return seconds for `steps` forward and backward passes of the model alone."""
    begun = time.perf_counter()
    for _ in range(steps):
        point = x.detach().requires_grad_(True)
        torch.autograd.grad(model(point).amax(dim=1).sum(), point)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--radius", type=float, default=0.16)
    parser.add_argument("--momentum", type=float, default=0.8)
    parser.add_argument("--norms", nargs="+", default=["l0", "l1", "l2", "linf"])
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    device = torch.device(arguments.device)

    images, labels = digits()
    model = train(images[:1200], labels[:1200], arguments.width, arguments.epochs)
    pool, pool_labels = to_input(images[1200:]), labels[1200:]
    logits = predict(model, pool, batch_size=256, device=device).numpy()
    print(f"accuracy {(logits.argmax(axis=1) == pool_labels).mean():.3f}", flush=True)
    chosen = (logits.argmax(axis=1) == pool_labels).nonzero()[0][: arguments.samples]
    targets, seeds = pool_labels[chosen], np.arange(len(chosen))
    starts = pool[choose_starting_points(logits, pool_labels, targets, seeds, 0)].to(device)
    x, y = pool[chosen].to(device), torch.from_numpy(targets).to(device)
    setting = {name: getattr(arguments, name) for name in ("steps", "radius", "momentum")}

    with evaluation(model, device):
        seconds = floor(model, x, arguments.steps)
    work = len(x) * arguments.steps
    print(
        f"{len(x)} samples, {arguments.steps} steps; forward and backward alone {seconds:.1f} s", flush=True
    )
    print("norm engine   first s  again s  sample-steps/s  found  mean      median", flush=True)
    for norm in arguments.norms:
        engines = [("ours", boundary_attack.run)]
        if not arguments.ours_only:
            from neuroreg.robustness.attacks import foolbox_brendel_bethge

            engines.append(("foolbox", foolbox_brendel_bethge.run))
        for name, run in engines:
            times = []
            for steps in (1, arguments.steps):
                begun = time.perf_counter()
                with evaluation(model, device):
                    found, _ = run(
                        norm,
                        model,
                        x,
                        y,
                        setting=setting_of_rows([setting | {"steps": steps}], torch.zeros_like(y), x),
                        repetition=torch.zeros_like(y),
                        seeds=torch.from_numpy(seeds),
                        starting_points=starts,
                    )
                times.append(time.perf_counter() - begun)
            outcome = verify(model, x, y, found, batch_size=256, device=device)
            distance = outcome.distance[norm].numpy()
            print(
                f"{norm:4} {name:8} {times[0]:8.1f} {times[1]:8.1f} {work / times[1]:15.0f} "
                f"{int(outcome.verified.sum()):6d}  {distance.mean():.6f}  {np.median(distance):.6f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
