"""Small problems with what is known of them."""

from functools import cache

import numpy as np
import torch
from attack_problems import CPU, linear_model, run_attack, smooth_logits, smooth_network
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.minimal_distance import search
from neuroreg.robustness.verification import measure

NORM = {0: "l0", 1: "l1", 2: "l2", np.inf: "linf"}


@cache
def trained_digits() -> tuple[nn.Module, np.ndarray, np.ndarray, np.ndarray]:
    """Return a small network trained on 8x8 digits, test images, their labels, and 8 that it gets right."""
    digits = load_digits()
    images, labels = np.uint8(digits.images * 255 / 16), digits.target
    inputs, targets = to_input(images), torch.from_numpy(labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1)]
        model = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
        optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
        for _ in range(4):
            for batch in torch.randperm(1500).split(50):
                loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    images, labels = images[1500:], labels[1500:]
    right = predict(model, to_input(images), batch_size=300, device=CPU).argmax(dim=1).numpy() == labels
    assert right.mean() > 0.8
    return model.eval(), images, labels, np.flatnonzero(right)[:8]


@cache
def mean_distance(method: str, norm: str, repetitions: int = 1, **setting: float) -> float:
    """Return the digits' mean distance, the smallest over repetitions, all of them found and verified."""
    model, images, labels, sample = trained_digits()
    result = search(
        model,
        images,
        labels,
        sample,
        method=method,
        settings=[setting],
        repetitions=repetitions,
        seed=0,
        batch_size=8,
        device=CPU,
    )
    assert result.verified.any(axis=(0, 1)).all()
    return float(result.distance[norm].min(axis=(0, 1)).mean())


def smooth_problem(rows: int = 6) -> tuple[nn.Module, tuple, np.ndarray, np.ndarray]:
    """Return the float64 network of `smooth_network`, its weights, points (rows, 49) and labels."""
    model, weights = smooth_network(1)
    x = np.random.default_rng(2).uniform(-0.3, 1.3, (rows, 49)).clip(0, 1)
    return model, weights, x, np.array([smooth_logits(weights, row)[0].argmax() for row in x])


def almost_on_the_boundary() -> tuple[nn.Module, Tensor, Tensor, dict[str, float]]:
    """Return a linear model of two classes and 1,024 pixels, an image next to the boundary, and its label.

    Its logits are about -.6 and differ by 1e-4. Also the least distances, of which Linf is below 1e-6.
    """
    rng = np.random.default_rng(0)
    weight, x = 0.1 * rng.standard_normal((2, 1024)), np.uint8(rng.integers(60, 190, 1024)) / 255
    model = linear_model(weight, np.array([-0.6377, -0.6378]) - weight @ x).float()
    images = torch.from_numpy(x).float().view(1, 1, 32, 32)
    logits = predict(model, images, batch_size=1, device=CPU)[0]
    plane, gap = weight[1] - weight[0], float(logits[0] - logits[1])
    assert 5e-5 < gap < 2e-4
    least = {"l1": np.abs(plane).max(), "l2": np.linalg.norm(plane), "linf": np.abs(plane).sum()}
    return model, images, torch.tensor([0]), {norm: gap / dual for norm, dual in least.items()}


def margin_of(weights: tuple, point: np.ndarray, label: int) -> tuple[float, np.ndarray]:
    """Return `adversarial_margin` at `point` and its gradient."""
    logits, jacobian = smooth_logits(weights, point)
    rival = np.where(np.arange(len(logits)) == label, -np.inf, logits).argmax()
    margin = logits[rival] - logits[label] - 2e-5 * np.abs(logits).max()
    return margin, jacobian[rival] - jacobian[label]


def linear_ratios(
    method: str, order: float, classes: int, repetition: int = 0, **setting: float
) -> np.ndarray:
    """Return what the attack finds relative to the known minimum of a linear model."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((classes, 256)) * np.exp(0.3 * rng.standard_normal((classes, 256)))
    x = rng.uniform(0.4, 0.6, (6, 256))
    bias = -(weight @ x.mean(axis=0)) + np.r_[1.0, np.zeros(classes - 1)]
    logits = x @ weight.T + bias
    labels = logits.argmax(axis=1)
    images = torch.from_numpy(x).view(6, 1, 16, 16)
    model = linear_model(weight, bias)
    found, passes = run_attack(method, model, images, torch.from_numpy(labels), repetition, **setting)
    assert (model(found).argmax(dim=1).numpy() != labels).all()
    assert (passes > 1).all()
    minima = np.full(6, np.inf)
    for row, label in enumerate(labels):
        for other in set(range(classes)) - {label}:
            plane, gap = weight[other] - weight[label], logits[row, label] - logits[row, other]
            if order == 0:  # the pixels that rise most on their way to the edge
                rise = np.abs(plane) * np.where(plane > 0, 1 - x[row], x[row])
                least = 1 + np.sort(rise)[::-1].cumsum().searchsorted(gap)
            elif order == 1:  # the same by slope, the last one part of the way
                steepest = np.argsort(-np.abs(plane))
                room = np.where(plane > 0, 1 - x[row], x[row])[steepest]
                before = np.r_[0.0, (np.abs(plane)[steepest] * room).cumsum()]
                last = before.searchsorted(gap) - 1
                least = room[:last].sum() + (gap - before[last]) / np.abs(plane)[steepest[last]]
            else:
                least = gap / np.linalg.norm(plane, 1 if order == np.inf else 2)
                assert least < 0.4 or order == 2
            minima[row] = min(minima[row], least)
    return measure(images, found)[NORM[order]].numpy() / minima
