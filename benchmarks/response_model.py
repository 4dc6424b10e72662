"""Time of a training step of the response model, beside a Sensorium-style baseline, on random data.

    python benchmarks/response_model.py --neurons 8000 --threads 2

The baseline is written here from its published description (Willeke et al. 2022; Lurz et al. 2021): four
layers of 64 channels at full resolution, a 9x9 convolution and then depth-separable 7x7 ones with batch norm
and ELU, and a Gaussian point readout of the last layer for each neuron by `grid_sample`. Both take the same
trials, Poisson loss and Adam. Then the readout alone, ours beside `grid_sample` on our map.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuroreg.response_model.fit import empty_model, poisson_loss, train_epoch
from neuroreg.response_model.model import elu1, sample_and_weigh
from neuroreg.response_model.settings import FitSettings

EPOCHS = 80  # about what a fit takes until its last plateau


class Baseline(nn.Module):
    def __init__(self, neurons: int, channels: int = 64) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, channels, 9, padding=4, bias=False), nn.BatchNorm2d(channels), nn.ELU()]
        for _ in range(3):
            layers += [
                nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False),
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ELU(),
            ]
        self.core = nn.Sequential(*layers)
        self.position = nn.Parameter(torch.randn(neurons, 2) * 0.3)
        self.weight = nn.Parameter(torch.randn(neurons, channels) / channels)
        self.bias = nn.Parameter(torch.zeros(neurons))

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        position = self.position + 0.1 * noise
        return elu1(by_grid_sample(self.core(images), position, self.weight) + self.bias)


def by_grid_sample(features: Tensor, position: Tensor, weight: Tensor) -> Tensor:
    grid = position[None, :, None].expand(len(features), -1, -1, -1)
    sampled = F.grid_sample(features, grid, padding_mode="border", align_corners=False)[..., 0]
    return torch.einsum("bcn,nc->bn", sampled, weight)


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median after one run to warm up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


def multiplications(model: nn.Module, images: Tensor) -> float:
    """Multiplications of the core's convolutions for a batch, forward."""
    total = 0.0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--neurons", type=int, default=8000)
    parser.add_argument("--trials", type=int, default=4500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=FitSettings().channels)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    settings = FitSettings(channels=arguments.channels, batch_size=arguments.batch_size)
    neurons, batch = arguments.neurons, arguments.batch_size

    images = torch.randint(0, 256, (batch, 36, 64), dtype=torch.uint8)
    data = {
        "image": torch.arange(batch),
        "behavior": torch.randn(batch, 3),
        "pupil_center": torch.randn(batch, 2),
        "responses": torch.rand(batch, neurons),
    }
    model = empty_model(neurons, 3, settings)
    with torch.no_grad():
        model.readout.position.normal_(0, 0.3)
    adam = torch.optim.Adam(model.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)
    ours = seconds(lambda: train_epoch(model, adam, images, data, settings, generator), arguments.repeats)

    baseline = Baseline(neurons)
    baseline_adam = torch.optim.Adam(baseline.parameters(), fused=True)
    standardised = (images[:, None].float() - 128) / 64

    def baseline_step() -> None:
        loss = poisson_loss(baseline(standardised, torch.randn(neurons, 2)), data["responses"])
        baseline_adam.zero_grad()
        loss.backward()
        baseline_adam.step()

    theirs = seconds(baseline_step, arguments.repeats)

    features = torch.randn(batch, model.core.features, 18, 32, requires_grad=True)
    parameters = features, model.readout.position, model.readout.weight
    gradient = torch.randn(batch, neurons)
    readouts = {
        sample: seconds(
            lambda sample=sample: torch.autograd.grad(sample(*parameters), parameters, gradient),
            arguments.repeats,
        )
        for sample in (sample_and_weigh, by_grid_sample)
    }
    steps = -(-arguments.trials // batch)
    print(f"{neurons} neurons, steps of {batch} trials, {arguments.threads} threads")
    for name, step in (("ours", ours), ("Sensorium-style baseline", theirs)):
        print(
            f"{name:26} {step * 1e3:8.1f} ms a step, {steps * step:7.1f} s an epoch of {arguments.trials}, "
            f"{steps * step * EPOCHS / 60:7.1f} min for {EPOCHS} epochs"
        )
    print(f"ratio {theirs / ours:.1f}")
    for sample, name in ((sample_and_weigh, "ours"), (by_grid_sample, "grid_sample")):
        print(f"readout alone, {name:12} {readouts[sample] * 1e3:8.1f} ms")
    print(f"ratio {readouts[by_grid_sample] / readouts[sample_and_weigh]:.1f}")
    # The floor: a training step is three times the products of the forward pass, at the speed of a large one.
    a = torch.randn(2048, 2048)
    peak = 2 * 2048**3 / seconds(lambda: a @ a, arguments.repeats)
    core = sum(k.numel() for k in model.core.kernels) * 18 * 32 * batch
    readout = 4 * neurons * model.core.features * batch
    print(
        f"our step's arithmetic {6 * (core + readout) / 1e9:.1f} GFLOP; the machine's large products reach "
        f"{peak / 1e9:.0f} GFLOP/s: floor {6 * (core + readout) / peak * 1e3:.1f} ms"
    )
    print(f"baseline's convolutions {6 * multiplications(baseline.core, standardised) / 1e9:.1f} GFLOP")


if __name__ == "__main__":
    main()
