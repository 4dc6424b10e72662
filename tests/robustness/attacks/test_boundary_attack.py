import warnings

import numpy as np
import pytest
import torch
from attack_problems import balanced_network, coarse_images
from tier_problems import margin_of, smooth_problem
from torch import nn

from neuroreg.robustness.attacks import boundary_attack
from neuroreg.robustness.attacks.closest_points import ClosestPoints
from neuroreg.robustness.attacks.rows import Rows, setting_of_rows
from neuroreg.robustness.evaluation import evaluation, predict

CPU = torch.device("cpu")
NORMS = {"l0": 0, "l1": 1, "l2": 2, "linf": np.inf}
SETTING = {"steps": 60, "radius": 0.16, "momentum": 0.8}


def attack(variant, model, x, labels, starts, run=boundary_attack.run, **setting):
    zeros = torch.zeros_like(labels)
    rows = Rows(
        x, labels, setting_of_rows([SETTING | setting], zeros, x), zeros, torch.arange(len(x)), starts
    )
    with evaluation(model, CPU):
        return run(variant, model, rows)


def sizes(found, x, variant):
    return np.linalg.norm((found.double() - x.double()).flatten(1).numpy(), NORMS[variant], axis=1)


def linear_problem(low, high, count=6):
    """Two linear classes in float64 arithmetic's reach, images in [low, high], starts of the other class."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((2, 1024)) * np.exp(0.5 * rng.standard_normal((2, 1024)))
    x = np.clip(rng.uniform(low, high, (count, 1024)), 0, 1).astype(np.float32)

    bias = -(x @ (weight[1] - weight[0])).max() - 2.0
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.from_numpy(weight))
        model[1].bias.copy_(torch.tensor([0.0, bias]))
    direction = (model[1].weight[1] - model[1].weight[0]).detach().double().numpy()
    gap = -(x @ direction + model[1].bias[1].item())
    assert (gap > 0.5).all()
    starts = np.clip(x + rng.uniform(0, 0.6, x.shape) * np.sign(direction), 0, 1).astype(np.float32)
    images, starts = (torch.from_numpy(part).view(count, 1, 32, 32) for part in (x, starts))
    assert (model(starts).argmax(dim=1) == 1).all()
    return model, images, torch.zeros(count, dtype=torch.int64), starts, direction, gap


def least(variant, x, direction, gap):
    """The smallest norm that carries one image across a linear boundary in the box, by filling up."""
    room = np.where(direction > 0, 1 - x, x)
    size = np.abs(direction)
    if variant == "l0":
        return 1 + (-np.sort(-size * room)).cumsum().searchsorted(gap)
    if variant == "l1":
        order = np.argsort(-size)
        before = np.r_[0, (size * room)[order].cumsum()[:-1]]
        return np.clip((gap - before) / size[order], 0, room[order]).sum()
    low, high = 0.0, 1e3
    for _ in range(200):
        middle = (low + high) / 2
        step = np.minimum(room, middle * (size if variant == "l2" else 1.0))
        low, high = (middle, high) if step @ size < gap else (low, middle)
    return np.linalg.norm(step, NORMS[variant])


@pytest.mark.parametrize("variant", NORMS)
@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (-0.5, 1.5)])
def test_linear_model_minimum_is_met_also_in_a_tight_box(variant, low, high):
    model, x, labels, starts, direction, gap = linear_problem(low, high)
    found, queries = attack(variant, model, x, labels, starts)
    assert (queries == 10 + 2 * SETTING["steps"] + 1).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert (model(found).argmax(dim=1) == 1).all()
    images = x.flatten(1).double().numpy()
    ratio = sizes(found, x, variant) / [
        least(variant, *row) for row in zip(images, [direction] * len(x), gap, strict=True)
    ]
    assert ratio.min() > 1 - 1e-4
    assert ratio.max() < 1.01


@pytest.fixture(scope="module")
def network_problem():
    x = coarse_images(64)
    model, labels = balanced_network(x)
    starts = torch.stack([x[(labels != label).nonzero()[row, 0]] for row, label in enumerate(labels[:6])])
    return model, x[:6], labels[:6], starts


@pytest.mark.parametrize("variant", NORMS)
def test_a_network_is_fooled_the_same_way_each_time_and_in_any_batch(variant, network_problem):
    model, x, labels, starts = network_problem
    missing = starts.clone()
    missing[4, 0, 3, 3] = torch.nan
    found, queries = attack(variant, model, x, labels, missing, steps=20)
    assert torch.isnan(found[4]).all()
    assert queries.tolist() == [51, 51, 51, 51, 0, 51]
    rows = [0, 1, 2, 3, 5]
    assert (predict(model, found[rows], batch_size=8, device=CPU).argmax(dim=1) != labels[rows]).all()
    assert (sizes(found, x, variant)[rows] < 0.7 * sizes(starts, x, variant)[rows]).all()
    again, _ = attack(variant, model, x, labels, missing, steps=20)
    assert found.numpy().tobytes() == again.numpy().tobytes()
    backwards, _ = attack(variant, model, x.flip(0), labels.flip(0), missing.flip(0), steps=20)
    alone = torch.cat(
        [attack(variant, model, x[[r]], labels[[r]], missing[[r]], steps=20)[0] for r in range(6)]
    )
    tolerance = {"rtol": 2e-3, "atol": 1.0 if variant == "l0" else 0.0}
    for other in (backwards.flip(0), alone):
        assert torch.isnan(other[4]).all()
        np.testing.assert_allclose(
            sizes(other, x, variant)[rows], sizes(found, x, variant)[rows], **tolerance
        )


def test_more_steps_come_closer(network_problem):
    model, x, labels, starts = network_problem
    for variant in NORMS:
        few = sizes(attack(variant, model, x, labels, starts, steps=2)[0], x, variant)
        many = sizes(attack(variant, model, x, labels, starts, steps=80)[0], x, variant)
        assert many.mean() < 0.95 * few.mean()


@pytest.mark.parametrize("variant", NORMS)
def test_bisection_ends_just_across_the_boundary(variant, network_problem):
    model, x, labels, starts = network_problem
    with evaluation(model, CPU):
        norm = boundary_attack.VARIANTS[variant]
        rows = Rows(x, labels, {}, torch.zeros_like(labels), labels, starts)
        closest = ClosestPoints(variant, model, rows, norm.size)
        point = boundary_attack.boundary_point(closest, norm, starts.flatten(1))
        assert (closest.margin(point) > 0).all()
    between = boundary_attack.VARIANTS[variant].between
    one, zero = torch.ones(6, 1), torch.zeros(6, 1)
    torch.testing.assert_close(between(x.flatten(1), starts.flatten(1), one), starts.flatten(1))
    torch.testing.assert_close(between(x.flatten(1), starts.flatten(1), zero), x.flatten(1))
    assert (sizes(point.view_as(x), x, variant) <= sizes(starts, x, variant)).all()


def test_no_farther_than_foolbox(network_problem):
    # One norm only: each costs the compiler half a minute.
    from neuroreg.robustness.attacks import foolbox

    linear = linear_problem(-0.5, 1.5, 4)[:4]
    for model, x, labels, starts in (linear, network_problem):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, _ = attack("brendel_bethge_l1", model, x, labels, starts, foolbox.run, steps=100)
        ours, _ = attack("l1", model, x, labels, starts, steps=100)
        assert sizes(ours, x, "l1").mean() <= 1.02 * sizes(theirs, x, "l1").mean()


def follow_step_by_step(variant, weights, x, label, point, steps, radius, momentum):
    """The way along the boundary as Foolbox goes it, one image; the closest adversarial and its size."""
    norm = boundary_attack.VARIANTS[variant]
    best, smallest, normal, reach = None, np.inf, None, radius * len(x) ** 0.5

    def look(point, best, smallest):
        margin, rise = margin_of(weights, point, label)
        change = np.abs(point - x)
        size = (change > 1e-4).sum() if variant == "l0" else np.linalg.norm(change, NORMS[variant])
        return margin, rise, *((point, size) if margin > 0 and size < smallest else (best, smallest))

    for step in range(1, steps + 1):
        margin, rise, best, smallest = look(point, best, smallest)
        normal = rise if step == 1 else momentum * normal + (1 - momentum) * rise
        if (step + 1) % max(1, steps // 20) == 0:
            reach /= 2
        # A tenth past the boundary; from beyond it, a tenth short of it.
        c = -1.1 * margin if margin < 0 else -0.9 * margin
        rows = (torch.tensor(np.array([part])) for part in (point, x, normal, c, reach))
        point = norm.step(*rows)[0].numpy()
    return look(point, best, smallest)[2:]


@pytest.mark.parametrize(
    ("variant", "steps", "radius", "momentum"),
    [
        # Which pixels may differ in L0 is no continuous choice: over many steps rounding decides.
        ("l0", 25, 0.16, 0.3),
        ("l1", 60, 0.05, 0.8),
        ("l2", 60, 0.05, 0.8),
        ("l2", 25, 0.16, 0.3),
        ("linf", 60, 0.05, 0.8),
    ],
)
def test_the_way_along_the_boundary_is_foolboxs(variant, steps, radius, momentum):
    model, weights, x, labels = smooth_problem()
    drawn = np.random.default_rng(5).uniform(-0.3, 1.3, (500, 49)).clip(0, 1)
    others = [next(start for start in drawn if margin_of(weights, start, label)[0] > 0) for label in labels]
    truth = torch.from_numpy(labels)
    with evaluation(model, CPU):
        norm = boundary_attack.VARIANTS[variant]
        rows = Rows(torch.from_numpy(x).view(-1, 1, 7, 7), truth, {}, torch.zeros_like(truth), truth)
        closest = ClosestPoints(variant, model, rows, norm.size)
        start = torch.from_numpy(np.array(others))
        numbers = {"radius": radius, "momentum": momentum}
        setting = {name: torch.full((6,), number, dtype=torch.float64) for name, number in numbers.items()}
        boundary_attack.follow(closest, norm, start, steps=steps, **setting)
    assert (closest.passes == 2 * steps + 1).all()
    for row in range(6):
        case = (weights, x[row], labels[row], others[row], steps, radius, momentum)
        best, smallest = follow_step_by_step(variant, *case)
        assert float(closest.smallest[row]) == pytest.approx(smallest, rel=1e-5)
        np.testing.assert_allclose(closest.best[row].numpy(), best, rtol=0, atol=1e-5)


def test_a_flat_network_leaves_what_bisection_found():
    # The gradient vanishes everywhere; the start is the only way across.
    class Threshold(nn.Module):
        def forward(self, x):
            bright = (x.mean(dim=(1, 2, 3)) > 0.5).float() + 0.0 * x.sum(dim=(1, 2, 3))
            return torch.stack([0.5 - bright, bright - 0.5], dim=1)

    x, labels = torch.full((2, 1, 32, 32), 0.2), torch.zeros(2, dtype=torch.int64)
    starts = torch.full_like(x, 0.9)
    for variant in NORMS:
        found, _ = attack(variant, Threshold(), x, labels, starts, steps=5)
        assert (Threshold()(found).argmax(dim=1) == 1).all()
        if variant in ("l2", "linf"):
            assert sizes(found, x, "linf").max() == pytest.approx(0.3, abs=2e-3)
