import numpy as np
import pytest
import torch
from attack_problems import run_attack
from tier_problems import (
    linear_ratios,
    margin_of,
    mean_distance,
    smooth_problem,
)


def sigma_zero_step_by_step(weights, x, label, steps, eta, sigma, tau, rate):
    """Algorithm 1 of the paper, one image, with Adam and the step sizes of the authors' code."""
    d, m, v, now = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x), eta
    best, fewest = np.full_like(x, np.nan), np.inf
    for step in range(1, steps + 2):
        margin, rise = margin_of(weights, x + d, label)
        if margin > 0 and (d != 0).sum() < fewest:
            best, fewest = x + d, (d != 0).sum()
        # The derivative of the smooth stand-in by a complex step.
        z = d + 1e-30j
        gradient = np.imag(z**2 / (z**2 + sigma)) / 1e-30 / len(x) - (rise if margin < 0 else 0.0)
        gradient /= max(1e-12, np.abs(gradient).max())
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        d = d - now * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        d = (x + d).clip(0, 1) - x
        now = eta / 10 + (eta - eta / 10) * (1 + np.cos(np.pi * step / steps)) / 2
        tau = np.clip(tau + (rate if margin > 0 else -rate) * now, 0, 1)
        d[np.abs(d) < tau] = 0
    return best


@pytest.mark.parametrize(("eta", "sigma", "tau", "rate"), [(1.0, 1e-3, 0.3, 0.01), (1.0, 0.1, 0.5, 0.05)])
def test_it_is_the_published_algorithm(eta, sigma, tau, rate):
    model, weights, x, labels = smooth_problem()
    setting = {"stepsize": eta, "sigma": sigma, "threshold": tau, "threshold_rate": rate}
    found, queries = run_attack(
        "sigma_zero",
        model,
        torch.from_numpy(x).view(-1, 1, 7, 7),
        torch.from_numpy(labels),
        steps=40,
        **setting,
    )
    assert (queries == 2 * 40 + 1).all()
    assert torch.isfinite(found).all(dim=(1, 2, 3)).sum() >= 4
    for row in range(len(x)):
        end = sigma_zero_step_by_step(weights, x[row], labels[row], 40, eta, sigma, tau, rate)
        np.testing.assert_allclose(found[row].flatten().numpy(), end, rtol=0, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 10])
def test_linear_minimum(classes):
    ratio = linear_ratios("sigma_zero", 0, classes, steps=300)
    assert ratio.min() >= 1
    assert ratio.mean() < 1.1


def test_more_smoothing_is_worse_and_the_defaults_are_near_brendel_bethge():
    ours = mean_distance("sigma_zero", "l0", steps=200)
    assert ours < 1.1 * mean_distance("brendel_bethge_l0", "l0", steps=60)
    assert ours < mean_distance("sigma_zero", "l0", steps=200, sigma=10.0, threshold=0.0, threshold_rate=0.0)
