"""Time of one training step (64 images, 16 pairs of stimuli), beside a plain loop, on random images.

    python benchmarks/training.py --width 64 --threads 2

The plain loop does what published code of this kind does: images augmented one by one as PIL images in a
`DataLoader`, float32, contiguous channels, one pass for the images and one for each half of the pairs, a
plain SGD. Ours is the loop that `train_model` runs, in the ways that --ways names; float32 is without TF32
in all. The share of the machine's peak is that of its own large matrix product or convolution, the faster
one, in the same precision. On a GPU steps follow one another without a wait between them, as in a training,
and kernels, the time for which the device computes and the host's waits are read from torch's profiler.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from neuroreg.devices import full_float32
from neuroreg.training.networks import ResNet
from neuroreg.training.objective import SimilarityReadout, similarity_loss
from neuroreg.training.run import SimilarityTarget, TrainingRun
from neuroreg.training.settings import TrainingSettings

ALPHA = 20.0
WAYS = ("plain", "float32", "bfloat16", "float32-compiled", "bfloat16-compiled")


class PlainImages(Dataset):
    """Images that a loader turns into augmented tensors one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), self.labels[index]


def plain_steps(
    images: np.ndarray, labels: np.ndarray, target: SimilarityTarget, width: int, device: str, settings
) -> Iterator[None]:
    """Take a step at each turn."""
    torch.manual_seed(0)
    model = ResNet(width=width).to(device).train()
    readout = SimilarityReadout(model.layer_channels).to(device).train()
    optimizer = torch.optim.SGD([*model.parameters(), *readout.parameters()], lr=1e-3, momentum=0.9)
    loader = DataLoader(PlainImages(images, labels), settings.batch_size, shuffle=True, drop_last=True)
    stimuli = torch.from_numpy(target.images)[:, None].float() / 255
    matrix = torch.from_numpy(target.matrix)
    while True:
        for x, y in loader:
            chosen = torch.randperm(len(stimuli))[: 2 * settings.pairs_per_step]
            first, second = chosen.chunk(2)
            halves = [model.features(stimuli[half].to(device)) for half in (first, second)]
            features = [torch.cat(pair) for pair in zip(*halves, strict=True)]
            similarity = readout(features)
            loss = F.cross_entropy(model(x.to(device)), y.to(device))
            loss = loss + ALPHA * similarity_loss(similarity, matrix[first, second].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            yield


def endless(run: TrainingRun) -> Iterator:
    """Take a step at each turn, epoch after epoch."""
    for epoch in count():
        yield from run.steps(epoch % run.settings.epochs)


def seconds_a_step(step: Callable[[], object], repeats: int, device: str, blocks: int = 5) -> float:
    """Median over `repeats` steps, on a GPU over as many in blocks, after some to warm up."""
    inner = max(1, repeats // blocks) if device == "cuda" else 1
    for _ in range(max(2, inner // 2)):
        step()
    times = []
    for _ in range(max(1, repeats // inner)):
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(inner):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - started) / inner)
    return float(np.median(times))


def on_the_gpu(step: Callable[[], object], steps: int = 10) -> str:
    """Say how many kernels a step has, for how long they run, and how often the host waits."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    events = profile.profiler.kineto_results.events()
    kernels = [e.duration_ns() for e in events if e.device_type() == torch.autograd.DeviceType.CUDA]
    waits = sum("StreamSynchronize" in e.name() or "EventSynchronize" in e.name() for e in events)
    launches = sum("LaunchKernel" in e.name() or "GraphLaunch" in e.name() for e in events)
    return (
        f"{'':24} {len(kernels) / steps:.0f} kernels of {launches / steps:.0f} launches, "
        f"{sum(kernels) / steps / 1e6:.2f} ms of the device, {waits / steps:.1f} waits"
    )


def step_flop(width: int, settings: TrainingSettings) -> float:
    """Floating-point operations of a step: three times those of the convolutions' and linear forward pass."""
    total = 0

    def add(module, inputs, output):
        nonlocal total
        total += 2 * output.numel() * module.weight[0].numel()

    model = ResNet(width=width)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad():
        model(torch.zeros(1, 1, 32, 32))
        images, total = total * settings.batch_size, 0
        model.features(torch.zeros(1, 1, 36, 64))
    return 3.0 * (images + total * 2 * settings.pairs_per_step)


def peak(dtype: torch.dtype, device: str) -> float:
    """Floating-point operations a second of a large matrix product or convolution, whichever has more."""
    size = 8192 if device == "cuda" else 3072
    a = torch.randn(size, size, device=device).to(dtype)
    product = 2 * size**3 / seconds_a_step(lambda: a @ a, 5, device)
    images, kernels = torch.randn(64, 256, 32, 32, device=device), torch.randn(256, 256, 3, 3, device=device)
    images, kernels = (t.to(dtype).to(memory_format=torch.channels_last) for t in (images, kernels))
    with torch.no_grad():
        seconds = seconds_a_step(lambda: F.conv2d(images, kernels, padding=1), 5, device)
    return max(product, 2 * images.numel() * kernels[0].numel() / seconds)


@full_float32()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--ways", nargs="+", default=WAYS[:3], choices=WAYS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4000, 32, 32), np.uint8)
    labels = rng.integers(0, 10, 4000)
    points = rng.normal(size=(500, 20))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    stimuli = rng.integers(0, 256, (500, 36, 64), np.uint8)
    target = SimilarityTarget(stimuli, (points @ points.T).astype(np.float32))

    steps = {}
    paper = {
        "width": arguments.width,
        "pairs_per_step": 16,
        "horizontal_flip": True,
        "stimuli_in_batch_norm": True,
    }
    plain_settings = TrainingSettings(**paper)
    for way in arguments.ways:
        precision, _, compiled = way.partition("-")
        if way == "plain":
            turns = plain_steps(images, labels, target, arguments.width, arguments.device, plain_settings)
        else:
            settings = TrainingSettings(
                **paper, learning_rate=1e-3, precision=precision, compile=bool(compiled)
            )
            run = TrainingRun(images, labels, 10, settings, 0, ALPHA, target, arguments.device)
            turns = endless(run)
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        steps[way] = (lambda turns=turns: next(turns)), dtype
    flop = step_flop(arguments.width, plain_settings)
    print(
        f"width {arguments.width}, {arguments.threads} threads, {arguments.device}, torch {torch.__version__}"
    )
    print(f"arithmetic of a step: {flop / 1e9:.0f} GFLOP")
    times = {}
    for name, (step, dtype) in steps.items():
        times[name] = seconds_a_step(step, arguments.steps, arguments.device)
        reached, most = flop / times[name], peak(dtype, arguments.device)
        beside = ""
        if "plain" in times:
            beside = f"; {times['plain'] / times[name]:.2f} times the plain loop's speed"
        print(
            f"{name:24} {times[name] * 1e3:9.2f} ms a step  {reached / 1e9:8.0f} GFLOP/s, "
            f"{reached / most:5.0%} of {most / 1e9:.0f}; floor {flop / most * 1e3:.2f} ms{beside}",
            flush=True,
        )
        if arguments.device == "cuda":
            print(on_the_gpu(step), flush=True)


if __name__ == "__main__":
    main()
