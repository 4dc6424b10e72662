import numpy as np
import pytest
import torch
from attack_problems import (
    CPU,
    balanced_network,
    coarse_images,
    linear_model,
    run_attack,
    run_candidates,
    smooth_logits,
    smooth_network,
)
from torch import nn

from neuroreg.robustness.attacks.closest_points import nearest_classes
from neuroreg.robustness.attacks.rows import Rows
from neuroreg.robustness.verification import measure, verify


def jsma_step_by_step(weights, x, label, target, theta, per_pixel, steps):
    """One sample and target, from the paper: probabilities' Jacobian, saliency map, one pixel at a time.

    Returns the end, None where there is none, and the steps taken.
    """
    point, changes, sign_of = x.copy(), np.zeros(len(x), int), np.zeros(len(x))
    for step in range(steps + 1):
        logits, jacobian = smooth_logits(weights, point)
        if logits.argmax() != label:
            return point, step
        if step == steps:
            return None, step
        p = np.exp(logits - logits.max())
        p /= p.sum()
        of_p = p[:, None] * (jacobian - p @ jacobian)
        best, chosen = 0.0, None
        for pixel in range(len(x)):
            alpha = of_p[target, pixel]
            beta = sum(of_p[j, pixel] for j in range(len(p)) if j != target)
            for sign in (1, -1):
                inside = point[pixel] < 1 if sign > 0 else point[pixel] > 0
                if sign * alpha < 0 or sign * beta > 0 or not inside:
                    continue
                if changes[pixel] >= per_pixel or sign_of[pixel] == -sign:
                    continue
                if abs(alpha * beta) > best:
                    best, chosen = abs(alpha * beta), (pixel, sign)
        if chosen is None:
            return None, step
        pixel, sign = chosen
        point[pixel] = min(1.0, max(0.0, point[pixel] + sign * theta))
        changes[pixel] += 1
        sign_of[pixel] = sign
    raise AssertionError


def nearest(model, images, labels, count):
    rows = Rows(images, labels, {}, torch.zeros_like(labels), labels)
    return nearest_classes("l1", model, rows, count)[0]


@pytest.mark.parametrize(("theta", "per_pixel"), [(0.1, 7), (0.1, 1), (0.45, 2), (1.0, 1)])
def test_it_is_the_published_algorithm(theta, per_pixel):
    model, weights = smooth_network(1)
    x = np.random.default_rng(2).uniform(-0.3, 1.3, (12, 49)).clip(0, 1)
    labels = np.array([smooth_logits(weights, row)[0].argmax() for row in x])
    images, truth = torch.from_numpy(x).view(12, 1, 7, 7), torch.from_numpy(labels)
    setting = {"theta": theta, "per_pixel": per_pixel, "steps": 60}
    found, _ = run_attack("jsma", model, images, truth, **setting)
    to_nearest, queries = run_attack("jsma", model, images, truth, targets=1, **setting)
    to_try = nearest(model, images, truth, 1)[:, 0].tolist()
    solved = 0
    for row in range(12):
        ends = []
        for target in range(5):
            if target != labels[row]:
                end, steps = jsma_step_by_step(weights, x[row], labels[row], target, theta, per_pixel, 60)
                ends.append(end)
            if target == to_try[row]:
                assert queries[row] == 5 + 2 * steps
                if end is not None:
                    np.testing.assert_allclose(to_nearest[row].flatten().numpy(), end, rtol=0, atol=1e-12)
        costs = [
            (np.inf, np.inf) if end is None else ((end != x[row]).sum(), np.abs(end - x[row]).sum())
            for end in ends
        ]
        least = min(costs)
        if np.isinf(least[0]):
            assert torch.isnan(found[row]).all()
            continue
        solved += 1
        equals = [end for end, cost in zip(ends, costs, strict=True) if np.allclose(cost, least, atol=1e-9)]
        assert any(np.allclose(found[row].flatten().numpy(), end, rtol=0, atol=1e-12) for end in equals)
    assert solved >= 6


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pixel_never_turns_back(sign):
    class Ridge(nn.Module):
        """The second class is likeliest where pixel 0 is 0.12 away; the others count little."""

        def forward(self, x):
            away = sign * (x.flatten(1) - 0.5)
            height = 0.075 + 0.03 * away[:, 1:].sum(dim=1) - (away[:, 0] - 0.12) ** 2
            return torch.stack([torch.full_like(height, 0.1), height], dim=1)

    x = torch.full((1, 1, 2, 3), 0.5, dtype=torch.float64)
    found, _ = run_attack("jsma", Ridge(), x, torch.zeros(1, dtype=torch.int64))
    change = sign * (found - x).flatten()
    # To 0.1 and, the slope being steeper than the others', past the ridge to 0.2, where it stays.
    assert float(change[0]) == pytest.approx(0.2)
    assert (change[1:] >= 0).all()
    assert float(change[1:].sum()) == pytest.approx(1.1)


def test_fewer_pixels_win_over_fewer_steps():
    weight = np.zeros((3, 6))
    # Three bright pixels, each one step from the edge, or one pixel that takes four steps.
    weight[1, 1:4], weight[2, 0] = 20.0, 7.0
    x = np.array([0.5, 0.95, 0.95, 0.95, 0.5, 0.5])
    model = linear_model(weight, np.array([2.5, -20 * 2.85, -7 * 0.5]))
    images, labels = torch.from_numpy(x).view(1, 1, 2, 3), torch.zeros(1, dtype=torch.int64)
    found, _ = run_attack("jsma", model, images, labels)
    np.testing.assert_allclose(found.flatten(), x + np.array([0.4, 0, 0, 0, 0, 0]))
    found, _ = run_attack("jsma", model, images, labels, targets=1)
    np.testing.assert_allclose(found.flatten(), x + np.array([0, 0.05, 0.05, 0.05, 0, 0]))


def test_targets_are_the_nearest_by_gradient():
    model, weights = smooth_network(3, classes=7)
    x = np.random.default_rng(4).uniform(0, 1, (5, 49))
    images, labels = torch.from_numpy(x).view(5, 1, 7, 7), []
    expected = []
    for row in x:
        logits, jacobian = smooth_logits(weights, row)
        label = logits.argmax()
        labels.append(label)
        distance = {
            k: (logits[label] - logits[k]) / np.abs(jacobian[k] - jacobian[label]).max()
            for k in range(7)
            if k != label
        }
        expected.append(sorted(distance, key=distance.get))
    labels = torch.tensor(labels)
    assert nearest(model, images, labels, 99).tolist() == expected
    assert nearest(model, images, labels, 2).tolist() == [row[:2] for row in expected]


def two_classes(gap, low=0.3, high=0.7):
    rng = np.random.default_rng(5)
    x, direction = rng.uniform(low, high, (8, 144)), rng.standard_normal(144)
    weight = np.stack([np.zeros(144), direction])
    # The linear boundary passes each image at about the same distance.
    x -= ((x @ direction - (x @ direction).mean()) / (direction @ direction))[:, None] * direction
    model = linear_model(weight, np.array([0.0, -(x @ direction).mean() - gap]))
    return model, x, direction, torch.zeros(8, dtype=torch.int64)


def test_a_linear_boundary_is_met_within_one_step_of_the_least_l1():
    model, x, direction, labels = two_classes(gap=8.0)
    found, _ = run_attack("jsma", model, torch.from_numpy(x).view(8, 1, 12, 12), labels)
    order = np.argsort(-np.abs(direction))
    room = np.where(direction > 0, 1 - x, x)[:, order]
    rise = (np.abs(direction[order]) * room).cumsum(axis=1)
    whole = (rise < 8.0).sum(axis=1)
    for row, clean in enumerate(x):
        end = found[row].flatten().numpy()
        before = rise[row, whole[row] - 1]
        least = room[row, : whole[row]].sum() + (8.0 - before) / np.abs(direction[order[whole[row]]])
        assert least <= np.abs(end - clean).sum() <= least + 0.1
        assert (end != clean).sum() == whole[row] + 1
        assert set(np.flatnonzero(end != clean)) == set(order[: whole[row] + 1])


def test_a_pixel_changes_so_often_and_stays_in_the_box():
    model, x, _, labels = two_classes(gap=10.0, low=0.0, high=1.0)
    x = x.clip(0, 1)
    images = torch.from_numpy(x).view(8, 1, 12, 12)
    found, _ = run_attack("jsma", model, images, labels, theta=0.1, per_pixel=3)
    change = found.flatten(1).numpy() - x
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.isclose(np.abs(change).max(), 0.3)
    steps = np.abs(change) / 0.1
    at_edge = np.isin(found.flatten(1).numpy(), (0.0, 1.0))
    assert (at_edge | np.isclose(steps, steps.round())).all()
    # Every pixel at its limit is not enough: given up when none can change, long before the last step.
    found, queries = run_attack("jsma", model, images, labels, theta=0.01, per_pixel=3, steps=100_000)
    assert torch.isnan(found).all()
    assert (queries <= 2 + 2 * 3 * 144).all()
    # Nor are too few steps.
    found, queries = run_attack("jsma", model, images, labels, steps=4)
    assert torch.isnan(found).all()
    assert (queries == 2 + 2 * 4).all()


@pytest.fixture(scope="module")
def problem():
    x = coarse_images(24)
    model, labels = balanced_network(x)
    return model, x[:5], labels[:5]


def attack(problem, rows=slice(None), repetition=1, **setting):
    model, x, labels = problem
    setting = {"theta": 0.5, "targets": 4} | setting
    return run_attack(
        "jsma", model, x[rows], labels[rows], repetition, seeds=(torch.arange(5) + 7)[rows], **setting
    )


def test_repetitions_differ(problem):
    ends = [attack(problem, repetition=repetition)[0] for repetition in range(4)]
    for one in range(4):
        for other in range(one):
            assert not torch.equal(ends[one], ends[other])
    without = [attack(problem, repetition=repetition, jitter=0.0)[0] for repetition in (0, 3)]
    assert torch.equal(without[0], ends[0])
    assert torch.equal(without[1], ends[0])


@pytest.mark.parametrize("theta", [0.1, 0.45])
def test_the_best_of_all_targets_is_kept_under_l0_and_under_l1(theta):
    model, weights = smooth_network(1)
    x = np.random.default_rng(2).uniform(-0.3, 1.3, (40, 49)).clip(0, 1)
    labels = np.array([smooth_logits(weights, row)[0].argmax() for row in x])
    images, truth = torch.from_numpy(x).view(-1, 1, 7, 7), torch.from_numpy(labels)
    setting = {"theta": theta, "per_pixel": 7, "steps": 60}
    found, _ = run_candidates("jsma", model, images, truth, **setting)
    outcome = verify(model.float(), images.float(), truth, found.float(), batch_size=40, device=CPU)
    apart = 0
    for row in range(len(x)):
        others = set(range(5)) - {labels[row]}
        ends = [jsma_step_by_step(weights, x[row], labels[row], k, theta, 7, 60)[0] for k in others]
        sizes = [np.abs(end - x[row]) for end in ends if end is not None]
        counts, lengths = [(size > 0).sum() for size in sizes], [size.sum() for size in sizes]
        if not sizes:
            assert torch.isnan(found[row]).all()
            continue
        # Of those with the fewest pixels, the shortest.
        fewest = min(zip(counts, lengths, strict=True))
        assert outcome.distance["l0"][row] == min(counts)
        assert float(outcome.distance["l1"][row]) == pytest.approx(min(lengths), rel=1e-5)
        another = fewest[1] > (1 + 1e-6) * min(lengths)
        assert torch.isfinite(found[row, 1]).all() == another
        apart += another
    assert apart >= 3


def test_more_targets_are_never_worse(problem):
    l0 = [measure(problem[1], attack(problem, targets=count)[0])["l0"] for count in (1, 3, 9, 1000)]
    assert (l0[0] >= l0[1]).all()
    assert (l0[1] >= l0[2]).all()
    assert (l0[0] > l0[2]).any()
    assert torch.equal(l0[2], l0[3])


def test_a_flat_model_is_given_up():
    model = linear_model(np.zeros((3, 16)), np.array([1.0, 0.0, 0.0]))
    x = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    found, queries = run_attack("jsma", model, x, torch.zeros(2, dtype=torch.int64))
    assert torch.isnan(found).all()
    assert queries.tolist() == [1 + 2] * 2
