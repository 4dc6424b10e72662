import numpy as np
import pytest
import torch
from attack_problems import CPU, run_attack, smooth_logits
from scipy.optimize import brentq, linprog
from tier_problems import (
    NORM,
    almost_on_the_boundary,
    linear_ratios,
    margin_of,
    mean_distance,
    smooth_problem,
)

from neuroreg.robustness.verification import measure, verify

ORDERS = {norm: order for order, norm in NORM.items() if order}


def nearest(norm, x, w, gap):
    """The point y of the box nearest to x with w.(y - x) = gap; where there is none, the farthest."""
    toward = np.sign(w) * np.sign(gap)
    edge = np.where(toward > 0, 1.0, np.where(toward < 0, 0.0, x))
    if abs(w @ (edge - x)) <= abs(gap):
        return edge
    if norm == "l1":
        bounds = [(0, 1 - v) for v in x] + [(0, v) for v in x]
        best = linprog(np.ones(2 * len(x)), A_eq=np.r_[w, -w][None], b_eq=[gap], bounds=bounds)
        return x + best.x[: len(x)] - best.x[len(x) :]
    step = toward if norm == "linf" else toward * np.abs(w)

    def at(t):
        return (x + t * step).clip(0, 1)

    return at(brentq(lambda t: abs(w @ (at(t) - x)) - abs(gap), 0, 1e6, xtol=1e-14, rtol=1e-14))


def fab_step_by_step(norm, weights, x, label, steps, alpha_max, eta, beta):
    """Algorithm 1 of the paper, one image, from the image."""
    order, dual = ORDERS[norm], {"l1": np.inf, "l2": 2, "linf": 1}[norm]
    point, best, smallest = x, None, np.inf
    for _ in range(steps):
        logits, jacobian = smooth_logits(weights, point)
        planes = [(logits[k] - logits[label], jacobian[k] - jacobian[label]) for k in range(5) if k != label]
        f, w = min(planes, key=lambda plane: abs(plane[0]) / np.linalg.norm(plane[1], dual))
        if f <= 0:  # beyond the paper: overshot, at least so far
            f = min(f, (f - 3e-5 * np.abs(logits).max()) / eta)
        d1 = nearest(norm, point, w, -f) - point
        d2 = nearest(norm, x, w, -f + w @ (point - x)) - x
        one, other = (max(np.linalg.norm(d, order), 1e-8) for d in (d1, d2))
        alpha = min(one / (one + other), alpha_max)
        point = ((1 - alpha) * (point + eta * d1) + alpha * (x + eta * d2)).clip(0, 1)
        if margin_of(weights, point, label)[0] > 0:
            size = np.linalg.norm(point - x, order)
            if size < smallest:
                best, smallest = point, size
            point = x + beta * (point - x)
    low, high = 0.0, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        inside = margin_of(weights, x + middle * (best - x), label)[0] > 0
        low, high = (low, middle) if inside else (middle, high)
    return x + high * (best - x)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize(("alpha_max", "eta", "beta"), [(0.1, 1.05, 0.9), (0.4, 1.3, 0.6)])
def test_it_is_the_published_algorithm(norm, alpha_max, eta, beta):
    model, weights, x, labels = smooth_problem()
    images = torch.from_numpy(x).view(-1, 1, 7, 7)
    setting = {"alpha_max": alpha_max, "overshoot": eta, "back": beta, "steps": 15}
    found, queries = run_attack(f"fab_{norm}", model, images, torch.from_numpy(labels), **setting)
    # Five classes: a forward pass and four backward ones, at first and in each step, and one more to see.
    assert (queries == 5 + 15 * (5 + 1) + 10).all()
    for row in range(len(x)):
        end = fab_step_by_step(norm, weights, x[row], labels[row], 15, alpha_max, eta, beta)
        np.testing.assert_allclose(found[row].flatten().numpy(), end, rtol=0, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, np.inf])
@pytest.mark.parametrize(("classes", "repetition"), [(2, 0), (10, 0), (10, 1)])
def test_linear_minimum(order, classes, repetition):
    ratio = linear_ratios(f"fab_{NORM[order]}", order, classes, repetition, steps=40)
    assert ratio.min() > 1 - 1e-6
    assert ratio.max() < 1.01


@pytest.mark.parametrize(
    ("norm", "best", "setting"),
    [
        ("l1", "brendel_bethge_l1", {"steps": 60}),
        ("l2", "ddn", {"steps": 200, "init_epsilon": 0.1}),
        ("linf", "pgd", {"steps": 20, "rel_stepsize": 0.1, "search_steps": 15}),
    ],
)
def test_it_is_near_the_best_attack_of_its_norm(norm, best, setting):
    ours = mean_distance(f"fab_{norm}", norm, repetitions=2, steps=50)
    assert ours < 1.1 * mean_distance(best, norm, **setting)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_an_image_next_to_the_boundary_is_carried_past_the_margin(norm):
    model, x, labels, least = almost_on_the_boundary()
    found, _ = run_attack(f"fab_{norm}", model, x, labels, steps=5)
    assert torch.isfinite(found).all()
    # What verification asks for is an eighth further, the floor a fifth.
    assert least[norm] < measure(x, found)[norm] < 1.5 * least[norm]
    outcome = verify(model, x, labels, found, batch_size=1, device=CPU)
    assert least[norm] < outcome.distance[norm] < 20 * least[norm]
