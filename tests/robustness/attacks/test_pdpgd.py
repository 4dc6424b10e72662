import numpy as np
import pytest
import torch
from attack_problems import run_attack
from scipy.optimize import minimize_scalar
from tier_problems import (
    linear_ratios,
    margin_of,
    mean_distance,
    smooth_problem,
)

from neuroreg.robustness.attacks import pdpgd
from neuroreg.robustness.attacks.rows import Rows, start_noise


def pdpgd_step_by_step(weights, x, label, steps, eta, rate, start=None):
    """Algorithm 1 of the paper with Adam, one image; the proximal map by minimising over each pixel.

    Without Adam's metric while `start`, an image, is adversarial.
    """
    r, m, v = np.zeros_like(x) if start is None else start - x, np.zeros_like(x), np.zeros_like(x)
    met = False
    dual, average = -np.log(0.01), 1 / 1.01
    best = None

    def look(r, best):
        margin, rise = margin_of(weights, x + r, label)
        if margin > 0 and (best is None or np.abs(r).sum() < np.abs(best - x).sum()):
            best = x + r
        return margin, rise, best

    for step in range(steps):
        margin, rise, best = look(r, best)
        # The slope of log(1 + exp(.)) of how far the label is ahead.
        gradient = -rise / (1 + np.exp(margin)) if margin < 0 else 0 * rise
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        met = met or margin < 0
        size = np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8 if met else np.ones_like(x)
        now = eta * 0.01 ** (step / steps)
        r = r - now * m / (1 - 0.9 ** (step + 1)) / size
        weight = now * (1 - average) / average
        for pixel in range(len(x)):
            # min over z of size / 2 (z - r)^2 + weight |z|, on the side of r: z = u r, u from 0 to 1
            a, b = size[pixel] / 2 * r[pixel] ** 2, weight * abs(r[pixel])
            u = 1.0 if a == 0 else np.clip(1 - b / (2 * a), 0, 1)
            if pixel % 10 == 0 and a > 1e-9:
                cost = minimize_scalar(
                    lambda u, a=a, b=b: a * (u - 1) ** 2 + b * u, bounds=(0, 1), method="bounded"
                )
                assert cost.fun >= a * (u - 1) ** 2 + b * u - 1e-12
            r[pixel] *= u
        r = (x + r).clip(0, 1) - x
        theta = rate * (1 - 0.9 * step / (steps - 1))
        dual = np.clip(dual + (theta if margin <= 0 else -theta), -np.log(1e6), np.log(1e6))
        average = 0.9 * average + 0.1 / (1 + np.exp(-dual))
    low, high = 0.0, 1.0
    end = best
    for _ in range(10):
        middle = (low + high) / 2
        inside = margin_of(weights, x + middle * (end - x), label)[0] > 0
        low, high = (low, middle) if inside else (middle, high)
    return x + high * (end - x)


@pytest.mark.parametrize(("eta", "rate"), [(0.1, 0.1), (0.3, 0.5)])
def test_it_is_the_published_algorithm(eta, rate):
    model, weights, x, labels = smooth_problem()
    images = torch.from_numpy(x).view(-1, 1, 7, 7)
    setting = {"stepsize": eta, "dual_rate": rate, "steps": 60}
    found, queries = run_attack("pdpgd", model, images, torch.from_numpy(labels), **setting)
    assert (queries == 2 * 60 + 10).all()
    for row in range(len(x)):
        end = pdpgd_step_by_step(weights, x[row], labels[row], 60, eta, rate)
        np.testing.assert_allclose(found[row].flatten().numpy(), end, rtol=0, atol=1e-8)


def noisy_starts(x, repetition):
    rows = torch.arange(len(x))
    batch = Rows(
        torch.from_numpy(x).view(-1, 1, 7, 7), rows, {}, torch.full_like(rows, repetition), rows + 100
    )
    return (x + 0.5 * start_noise(batch).flatten(1).numpy()).clip(0, 1)


def test_a_start_that_is_adversarial_is_shrunk_and_each_repetition_goes_its_own_way():
    model, weights, x, labels = smooth_problem(30)
    starts = [noisy_starts(x, repetition) for repetition in (1, 2)]
    both = [
        row
        for row in range(len(x))
        if all(margin_of(weights, start[row], labels[row])[0] > 0 for start in starts)
    ][:3]
    assert len(both) == 3
    found, images = [], torch.from_numpy(x).view(-1, 1, 7, 7)
    for repetition in (1, 2):
        setting = {"stepsize": 0.1, "dual_rate": 0.1, "steps": 60}
        ends, _ = run_attack("pdpgd", model, images, torch.from_numpy(labels), repetition, **setting)
        found.append(ends[both].flatten(1).numpy())
        for end, row in zip(found[-1], both, strict=True):
            expected = pdpgd_step_by_step(
                weights, x[row], labels[row], 60, 0.1, 0.1, starts[repetition - 1][row]
            )
            np.testing.assert_allclose(end, expected, rtol=0, atol=1e-8)
    assert (found[0] != found[1]).any(axis=1).all()


@pytest.mark.parametrize(("classes", "tolerance"), [(2, 1.02), (10, 1.05)])
def test_linear_minimum(classes, tolerance):
    ratio = linear_ratios("pdpgd", 1, classes, steps=600)
    assert ratio.min() > 1 - 1e-6
    assert ratio.mean() < tolerance


def test_it_is_near_brendel_bethge():
    ours = mean_distance("pdpgd", "l1", steps=400)
    assert ours < 1.1 * mean_distance("brendel_bethge_l1", "l1", steps=60)


def test_the_loss_is_weighted_the_same_to_the_bit_wherever_a_row_stands():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        values = 3 * torch.randn(40, 1, generator=generator)
        parts = torch.cat([pdpgd._sigmoid(part.clone()) for part in values.split([27, 13])])
        assert torch.equal(pdpgd._sigmoid(values), parts)
    torch.testing.assert_close(parts, torch.sigmoid(values))
