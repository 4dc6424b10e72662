import numpy as np
import pytest
import torch
from attack_problems import (
    balanced_network,
    coarse_images,
    linear_model,
    run_attack,
    smooth_logits,
    smooth_network,
)
from scipy.optimize import linprog
from torch import nn

from neuroreg.robustness.attacks.projections import nearest_in_l1
from neuroreg.robustness.attacks.sparsefool import deepfool
from neuroreg.robustness.verification import measure


def deepfool_step_by_step(weights, start, label):
    """DeepFool's Algorithm 2 without a box; the boundary point and the class beyond it."""
    point = start.copy()
    for _ in range(50):
        logits, jacobian = smooth_logits(weights, point)
        best, step = np.inf, None
        for k in range(len(logits)):
            if k != label:
                w, f = jacobian[k] - jacobian[label], logits[k] - logits[label]
                distance = abs(f) / np.linalg.norm(w)
                if distance < best:
                    best, step = distance, max(distance, 1e-4) * w / np.linalg.norm(w)
        point = point + step
        beyond = smooth_logits(weights, start + 1.02 * (point - start))[0].argmax()
        if beyond != label:
            return point, beyond
    raise AssertionError


def linear_solver_step_by_step(x, w, on_plane):
    """SparseFool's Algorithm 1: one coordinate after the other, that with the largest |w| first."""
    y, left = x.copy(), set(range(len(x)))
    while w @ (y - on_plane) < -1e-12 and left:
        d = max(left, key=lambda j: abs(w[j]))
        y[d] += abs(w @ (y - on_plane)) / abs(w[d]) * np.sign(w[d])
        y = y.clip(0, 1)
        left.remove(d)
    return y


def sparsefool_step_by_step(weights, x, label, lam, steps):
    """SparseFool's Algorithm 2."""
    point = x.copy()
    for _ in range(steps):
        boundary, beyond = deepfool_step_by_step(weights, point, label)
        jacobian = smooth_logits(weights, boundary)[1]
        w = jacobian[beyond] - jacobian[label]
        on_plane = point + lam * (boundary - point)
        assert w @ (point - on_plane) < 0
        point = linear_solver_step_by_step(point, w, on_plane)
        candidate = (x + 1.02 * (point - x)).clip(0, 1)
        if smooth_logits(weights, candidate)[0].argmax() != label:
            return candidate
    return None


@pytest.mark.parametrize("lam", [1.0, 1.5, 3.0])
def test_it_is_the_published_algorithm(lam):
    model, weights = smooth_network(1)
    x = np.random.default_rng(2).uniform(-0.3, 1.3, (8, 49)).clip(0, 1)
    labels = np.array([smooth_logits(weights, row)[0].argmax() for row in x])
    images = torch.from_numpy(x).view(8, 1, 7, 7)
    found, _ = run_attack("sparsefool", model, images, torch.from_numpy(labels), steps=20, **{"lambda": lam})
    solved = 0
    for row in range(8):
        end = sparsefool_step_by_step(weights, x[row], labels[row], lam, 20)
        if end is None:
            assert torch.isnan(found[row]).all()
        else:
            solved += 1
            np.testing.assert_allclose(found[row].flatten().numpy(), end, rtol=0, atol=1e-9)
    assert solved >= 6


def test_deepfool_is_the_published_algorithm():
    model, weights = smooth_network(5, classes=12)
    x = np.random.default_rng(4).uniform(0, 1, (8, 49))
    labels = np.array([smooth_logits(weights, row)[0].argmax() for row in x])
    shape = torch.Size((1, 7, 7))
    boundary, normal, passes = deepfool(model, torch.from_numpy(x), torch.from_numpy(labels), shape)
    # The likeliest is not always the nearest (ranks 0 to 3 here), but nine others are enough.
    for row in range(8):
        point, beyond = deepfool_step_by_step(weights, x[row], labels[row])
        np.testing.assert_allclose(boundary[row].numpy(), point, rtol=0, atol=1e-9)
        jacobian = smooth_logits(weights, point)[1]
        np.testing.assert_allclose(normal[row].numpy(), jacobian[beyond] - jacobian[labels[row]], atol=1e-9)
        # Nine classes' gradients and two forward passes in each step, two passes for the normal.
        assert passes[row] % 11 == 2


def test_the_linear_solver_is_the_published_one_and_optimal():
    rng = np.random.default_rng(6)
    for gap in (0.3, 2.0, 5.0):
        x = rng.uniform(-0.3, 1.3, (10, 20)).clip(0, 1)
        w = rng.standard_normal((10, 20))
        y = nearest_in_l1(torch.from_numpy(x), torch.from_numpy(w), torch.full((10,), gap).double()).numpy()
        for row in range(10):
            on_plane = x[row] + gap * w[row] / (w[row] @ w[row])
            slow = linear_solver_step_by_step(x[row], w[row], on_plane)
            np.testing.assert_allclose(y[row], slow, rtol=0, atol=1e-7)
            # y = x + up - down
            best = linprog(
                np.ones(40),
                A_eq=np.r_[w[row], -w[row]][None],
                b_eq=[gap],
                bounds=[(0, 1 - v) for v in x[row]] + [(0, v) for v in x[row]],
            )
            if best.success:
                assert np.abs(y[row] - x[row]).sum() == pytest.approx(best.fun, rel=1e-7)
            else:
                np.testing.assert_array_equal(y[row], np.where(w[row] > 0, 1.0, 0.0))


def linear_problem(low, high, classes, pixels=256):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((classes, pixels)) * np.exp(0.5 * rng.standard_normal((classes, pixels)))
    x = rng.uniform(low, high, (8, pixels)).clip(0, 1)
    bias = -(weight @ x.mean(axis=0)) + np.r_[40.0, np.zeros(classes - 1)]
    labels = (x @ weight.T + bias).argmax(axis=1)
    return linear_model(weight, bias), weight, bias, x, labels


def least_l1(x, planes):
    """The least L1 that carries x in the box to where w.y + c >= 0 for all (w, c) of `planes`."""
    best = linprog(
        np.ones(2 * len(x)),
        A_ub=-np.array([np.r_[w, -w] for w, _ in planes]),
        b_ub=[w @ x + c for w, c in planes],
        bounds=[(0, 1 - v) for v in x] + [(0, v) for v in x],
    )
    assert best.success
    return best.fun


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.8), (-0.5, 1.5)])
def test_two_linear_classes_within_two_percent_of_the_least_l1(low, high):
    model, weight, bias, x, labels = linear_problem(low, high, 2)
    found, queries = run_attack(
        "sparsefool", model, torch.from_numpy(x).view(8, 1, 16, 16), torch.from_numpy(labels)
    )
    distance = measure(torch.from_numpy(x).view(8, 1, 16, 16), found)
    l0, l1 = distance["l0"].numpy(), distance["l1"].numpy()
    for row, label in enumerate(labels):
        other = 1 - label
        plane = (weight[other] - weight[label], bias[other] - bias[label])
        assert 1 - 1e-6 < l1[row] / least_l1(x[row], [plane]) < 1.02 + 1e-3
        # The fewest pixels: those that rise most on their way to the edge.
        room = np.where(plane[0] > 0, 1 - x[row], x[row])
        rise = np.sort(np.abs(plane[0]) * room)[::-1].cumsum()
        fewest = 1 + rise.searchsorted(-(plane[0] @ x[row] + plane[1]))
        assert fewest <= l0[row] <= 1.5 * fewest
    # DeepFool's three, the normal's two, the test: one plane is enough.
    assert queries.median() == 6


def test_ten_linear_classes_within_a_third_of_the_least_l1():
    # The boundary that is nearest in L2 is not always the one nearest in L1.
    model, weight, bias, x, labels = linear_problem(0.2, 0.8, 10)
    images = torch.from_numpy(x).view(8, 1, 16, 16)
    found, _ = run_attack("sparsefool", model, images, torch.from_numpy(labels))
    ratio = measure(images, found)["l1"].numpy()
    for row, label in enumerate(labels):
        ratio[row] /= min(
            least_l1(x[row], [(weight[k] - weight[label], bias[k] - bias[label])])
            for k in range(10)
            if k != label
        )
    assert ratio.min() > 1 - 1e-6
    assert ratio.max() < 4 / 3
    assert np.median(ratio) < 1.03


class Wedge(nn.Module):
    """Two classes, piecewise linear; the second wins where both of two planes are passed."""

    def __init__(self, planes):
        super().__init__()
        self.w = torch.from_numpy(np.array([w for w, _ in planes]))
        self.c = torch.tensor([c for _, c in planes], dtype=torch.float64)

    def forward(self, x):
        height = (x.flatten(1) @ self.w.T + self.c).amin(dim=1)
        return torch.stack([-height, height], dim=1) / 2


def test_a_corner_within_half_of_the_least_l1():
    rng = np.random.default_rng(7)
    common = rng.standard_normal(100)
    x = rng.uniform(0.2, 0.8, (8, 100))
    planes = [common + 0.7 * rng.standard_normal(100) for _ in range(2)]
    planes = [(w, -(x @ w).max() - gap) for w, gap in zip(planes, (3.0, 5.0), strict=True)]
    images, labels = torch.from_numpy(x).view(8, 1, 10, 10), torch.zeros(8, dtype=torch.int64)
    found, _ = run_attack("sparsefool", Wedge(planes), images, labels)
    ratio = measure(images, found)["l1"].numpy() / [least_l1(row, planes) for row in x]
    assert ratio.min() > 1 - 1e-6
    assert ratio.max() < 1.5


@pytest.fixture(scope="module")
def problem():
    x = coarse_images(24)
    model, labels = balanced_network(x)
    return model, x[:5], labels[:5]


def attack(problem, rows=slice(None), repetition=1, **setting):
    model, x, labels = problem
    seeds = (torch.arange(5) + 7)[rows]
    return run_attack("sparsefool", model, x[rows], labels[rows], repetition, seeds=seeds, **setting)


def test_repetitions_differ_and_their_noise_is_no_part_of_the_perturbation(problem):
    ends = [attack(problem, repetition=repetition)[0] for repetition in range(4)]
    for one in range(4):
        assert (measure(problem[1], ends[one])["l0"] < 100).all()
        for other in range(one):
            assert not torch.equal(ends[one], ends[other])
    without = attack(problem, repetition=3, start_noise=0.0)[0]
    assert torch.equal(without, ends[0])


@pytest.mark.parametrize("scale", [0.0, 1e-12])
def test_a_flat_model_is_given_up(scale):
    weight = np.random.default_rng(0).standard_normal((3, 16)) * scale
    model = linear_model(weight, np.array([1.0, 0.0, 0.0]))
    x = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    found, queries = run_attack("sparsefool", model, x, torch.zeros(2, dtype=torch.int64))
    assert torch.isnan(found).all()
    assert (queries <= 400).all()
