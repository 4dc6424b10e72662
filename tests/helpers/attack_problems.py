"""Models and images to attack."""

import numpy as np
import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.registry import complete_setting, find_method
from neuroreg.robustness.attacks.rows import Rows, setting_of_rows
from neuroreg.robustness.evaluation import evaluation, predict
from neuroreg.training.networks import ResNet

CPU = torch.device("cpu")


def balanced_network(x: Tensor) -> tuple[ResNet, Tensor]:
    """Return a random ResNet with balanced logits on `x`, so that other classes are near, and its labels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResNet(width=4).eval()
    logits = predict(model, x, batch_size=len(x), device=CPU)
    with torch.no_grad():
        model.linear.weight /= logits.std(dim=0)[:, None]
        model.linear.bias.copy_((model.linear.bias - logits.mean(dim=0)) / logits.std(dim=0))
    return model, predict(model, x, batch_size=len(x), device=CPU).argmax(dim=1)


def coarse_images(count: int) -> Tensor:
    """Return random images (count, 1, 32, 32) of 4x4 squares."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((count, 1, 4, 4), generator=generator)
    return x.repeat_interleave(8, 2).repeat_interleave(8, 3)


def linear_model(weight: np.ndarray, bias: np.ndarray) -> nn.Module:
    """Return a float64 model of flattened inputs with `weight` (classes, pixels) and `bias` (classes,)."""
    linear = nn.Linear(weight.shape[1], len(weight), dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    return nn.Sequential(nn.Flatten(), linear)


def run_attack(
    method: str, model: nn.Module, x: Tensor, labels: Tensor, *rest, **named
) -> tuple[Tensor, Tensor]:
    """Do as `run_candidates`; of several candidates the first, closest in the method's norm, is returned."""
    found, passes = run_candidates(method, model, x, labels, *rest, **named)
    return (found[:, 0] if found.ndim > x.ndim else found), passes


def run_candidates(
    method: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    repetition: int = 0,
    seeds: Tensor | None = None,
    starting_points: Tensor | None = None,
    **setting: float,
) -> tuple[Tensor, Tensor]:
    """Run a method of the registry under `evaluation`, with seeds 100, 101, ... where none are given."""
    rows = Rows(
        x=x,
        labels=labels,
        setting=setting_of_rows([complete_setting(method, setting)], torch.zeros_like(labels), x),
        repetition=torch.full_like(labels, repetition),
        seeds=torch.arange(len(x)) + 100 if seeds is None else seeds,
        starting_points=starting_points,
    )
    with evaluation(model, CPU):
        return find_method(method).load()(model, rows)


def smooth_network(seed: int, pixels: int = 49, hidden: int = 16, classes: int = 5):
    """Return a float64 softplus network of images (1, 7, 7), and its weights for NumPy."""
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((hidden, pixels)) * 0.4, rng.standard_normal((classes, hidden))
    # Classes differ in steepness, so that the likeliest need not be the nearest.
    second *= np.exp(0.7 * rng.standard_normal((classes, 1)))
    bias = rng.standard_normal(hidden) * 0.1
    layers = [linear_model(first, bias)[1], linear_model(second, np.zeros(classes))[1]]
    return nn.Sequential(nn.Flatten(), layers[0], nn.Softplus(), layers[1]), (first, bias, second)


def smooth_logits(weights, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits (classes,) of that network at `x` (pixels,) and their Jacobian (classes, pixels)."""
    first, bias, second = weights
    before = first @ x + bias
    slope = 1 / (1 + np.exp(-before))
    return second @ np.logaddexp(0, before), (second * slope) @ first
