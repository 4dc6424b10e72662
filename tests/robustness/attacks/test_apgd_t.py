import numpy as np
import pytest
import torch
from attack_problems import CPU, run_attack, smooth_logits
from tier_problems import (
    NORM,
    linear_ratios,
    margin_of,
    mean_distance,
    smooth_problem,
)
from torch import nn

from neuroreg.robustness.attacks.apgd_t import climb, targeted_dlr
from neuroreg.robustness.attacks.closest_points import ClosestPoints
from neuroreg.robustness.attacks.rows import Rows
from neuroreg.robustness.evaluation import evaluation
from neuroreg.robustness.verification import measure


def dlr(weights, point, label, target):
    """The targeted DLR loss (eq. 7) and its gradient."""
    z, jacobian = smooth_logits(weights, point)
    first, _, third, fourth = np.argsort(-z)[:4]
    above, below = z[target] - z[label], z[first] - (z[third] + z[fourth]) / 2 + 1e-12
    slope = jacobian[first] - (jacobian[third] + jacobian[fourth]) / 2
    return above / below, (jacobian[target] - jacobian[label]) / below - above / below**2 * slope


def auto_pgd_step_by_step(weights, x, label, target, radius, start, steps, norm):
    """Algorithm 1 of the paper, one image: the point of the largest loss."""

    def project(point):
        d = point - x
        if norm == "linf":
            return (x + d.clip(-radius, radius)).clip(0, 1)
        return (x + d * min(1, radius / np.linalg.norm(d))).clip(0, 1) if d.any() else point

    # Checkpoints: p_0 = 0, p_1 = 0.22, p_j+1 = p_j + max(p_j - p_j-1 - 0.03, 0.06), in whole steps.
    checkpoints, gap = [max(int(0.22 * steps), 1)], max(int(0.22 * steps), 1)
    while checkpoints[-1] < steps:
        gap = max(gap - max(int(0.03 * steps), 1), int(0.06 * steps), 1)
        checkpoints.append(checkpoints[-1] + gap)
    point, before, eta = start, start, 2 * radius
    value, gradient = dlr(weights, point, label, target)
    best = (value, point, gradient)
    rises, last_checkpoint, highest_then, halved_then = 0, 0, value, True
    for step in range(1, steps + 1):
        direction = np.sign(gradient) if norm == "linf" else gradient / np.linalg.norm(gradient)
        z = project(point + eta * direction)
        alpha = 1.0 if step == 1 else 0.75
        before, point = point, project(point + alpha * (z - point) + (1 - alpha) * (point - before))
        old, (value, gradient) = value, dlr(weights, point, label, target)
        rises += value > old
        if value > best[0]:
            best = (value, point, gradient)
        if step in checkpoints:
            few = rises <= 0.75 * (step - last_checkpoint)
            stuck = not halved_then and best[0] <= highest_then
            halved_then, highest_then = few or stuck, best[0]
            if halved_then:
                eta, (value, point, gradient) = eta / 2, best
            rises, last_checkpoint = 0, step
    return best[1]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("steps", [7, 60])
def test_the_climb_is_auto_pgd(norm, steps):
    model, weights, x, labels = smooth_problem()
    rng = np.random.default_rng(3)
    radius = {"l2": 0.5, "linf": 0.05}[norm] * rng.uniform(0.5, 2, (6, 1))
    targets = (labels + rng.integers(1, 5, 6)) % 5
    start = (x + radius * rng.choice([-1, 1], x.shape) / (7 if norm == "l2" else 1)).clip(0, 1)
    with evaluation(model, CPU):
        truth = torch.from_numpy(labels)
        rows = Rows(torch.from_numpy(x).view(-1, 1, 7, 7), truth, {}, torch.zeros_like(truth), truth)
        closest = ClosestPoints(norm, model, rows)
        chosen = torch.tensor([0, 2, 3, 5])
        arrays = map(torch.from_numpy, (targets[chosen], radius[chosen], start[chosen]))
        end, over = climb(closest, chosen, *arrays, steps)
        end = end.numpy()
    for row, best in zip(chosen.tolist(), end, strict=True):
        case = (weights, x[row], labels[row], targets[row], radius[row, 0], start[row], steps, norm)
        np.testing.assert_allclose(best, auto_pgd_step_by_step(*case), rtol=0, atol=1e-8)
        size = np.linalg.norm(best - x[row], 2 if norm == "l2" else np.inf)
        assert size <= radius[row, 0] * (1 + 1e-9)
    assert over.tolist() == [
        margin_of(weights, best, labels[row])[0] > 0 for row, best in zip(chosen.tolist(), end, strict=True)
    ]
    assert closest.passes.tolist() == [2 * (steps + 1) if row in chosen else 0 for row in range(6)]


def test_the_loss_is_the_targeted_dlr():
    logits = torch.tensor([[1.0, 4.0, 2.0, 8.0, 0.0]])
    loss = targeted_dlr(logits, torch.tensor([3]), torch.tensor([0]))
    assert loss.item() == pytest.approx((1 - 8) / (8 - (2 + 1) / 2))
    assert targeted_dlr(10 * logits + 3, torch.tensor([3]), torch.tensor([0])).item() == pytest.approx(
        loss.item()
    )
    assert targeted_dlr(logits[:, :3], torch.tensor([1]), torch.tensor([0])).item() == -3


@pytest.mark.parametrize(("order", "tolerance"), [(2, 1.003), (np.inf, 1.003)])
@pytest.mark.parametrize(("classes", "repetition"), [(2, 0), (10, 0), (10, 1)])
def test_linear_minimum(order, tolerance, classes, repetition):
    ratio = linear_ratios(f"apgd_t_{NORM[order]}", order, classes, repetition, steps=30)
    assert ratio.min() > 1 - 1e-6
    assert ratio.max() < tolerance


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_more_targets_and_more_epsilons_are_no_worse(norm):
    means = [
        mean_distance(f"apgd_t_{norm}", norm, steps=20, **setting)
        for setting in ({"targets": 1, "search_steps": 8}, {"targets": 1}, {})
    ]
    assert means[0] >= means[1] >= means[2]
    assert means[0] > means[2]


def test_an_even_race_at_the_start_is_no_end():
    model, _, x, labels = smooth_problem(1)
    with torch.no_grad():
        images = torch.from_numpy(x).view(1, 1, 7, 7)
        logits = model(images)[0]
        other = (labels[0] + 1) % 5
        model[3].bias[other] += logits[labels[0]] - logits[other]
    found, _ = run_attack("apgd_t_l2", model, images, torch.from_numpy(labels), steps=10)
    assert 0 < (found - images).norm() < 1e-3


@pytest.mark.parametrize(
    ("norm", "best", "setting"),
    [
        ("l2", "ddn", {"steps": 200, "init_epsilon": 0.1}),
        ("linf", "pgd", {"steps": 20, "rel_stepsize": 0.1, "search_steps": 15}),
    ],
)
def test_it_is_near_the_best_attack_of_its_norm(norm, best, setting):
    ours = mean_distance(f"apgd_t_{norm}", norm, steps=40)
    assert ours < 1.03 * mean_distance(best, norm, **setting)


class OutOfReach(nn.Module):
    """Of the two other classes the nearest by gradient stays .05 behind, the other wins from .3 on."""

    def forward(self, x):
        first, second = x.flatten(1)[:, 0] - 0.5, x.flatten(1)[:, 1] - 0.5
        return torch.stack(
            [torch.zeros_like(first), 0.2 * torch.tanh(10 * first) - 0.25, second - 0.3], dim=1
        )


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("repetition", [0, 1])
def test_a_target_that_cannot_be_reached_gives_way_to_the_next(norm, repetition):
    x, labels = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, dtype=torch.int64)
    found, passes = run_attack(f"apgd_t_{norm}", OutOfReach(), x, labels, repetition, steps=10)
    assert 0.3 < float(measure(x, found)[norm]) < 0.301
    assert passes.item() <= 3 + 30 * (2 * 11 + 10)


def test_ends_that_are_not_adversarial_are_not_drawn_in():
    """Neither class wins anywhere: the search asks for its climbs alone, two passes a point."""
    model, x = OutOfReach(), torch.full((1, 1, 4, 4), 0.5)
    asked = []
    model.register_forward_hook(lambda module, inputs, logits: asked.append(len(logits)))
    labels = torch.zeros(1, dtype=torch.int64)
    found, passes = run_attack("apgd_t_l2", model, x, labels, steps=5, targets=1, search_steps=3)
    assert torch.isnan(found).all()
    # One at first, with a gradient for each other class.
    assert sum(asked) == 1 + 3 * 6
    assert passes.item() == 3 + 2 * 3 * 6
