"""What the bridge to Foolbox relies on without Foolbox's promise: each fails when Foolbox changes it."""

import inspect

import eagerpy as ep
import foolbox
import numpy as np
import pytest
import torch
from attack_problems import CPU, linear_model
from foolbox.criteria import Misclassification

from neuroreg.robustness.attacks.foolbox import GuardedSolver, PlainAttack, guarded, hooked

X = torch.full((2, 1, 4, 4), 0.5)
LABELS = torch.zeros(2, dtype=torch.int64)


WEIGHT = np.random.default_rng(0).standard_normal((3, 16))


@pytest.fixture
def model():
    network = linear_model(WEIGHT, np.array([2.0, 0.0, 0.0]) - WEIGHT.sum(axis=1) / 2).float().eval()
    return foolbox.PyTorchModel(network, bounds=(0, 1), device=CPU)


@pytest.mark.parametrize(
    ("attack", "calls"),
    [
        (foolbox.attacks.DDNAttack(steps=7), 7),
        (foolbox.attacks.L2CarliniWagnerAttack(steps=7, binary_search_steps=2, abort_early=False), 14),
    ],
)
def test_gradients_are_asked_for_once_and_only_through_the_hook(attack, calls, model):
    wraps, points = [], []

    def wrap(loss, differentiate):
        step = differentiate(loss)
        wraps.append(step)

        def counted(point, *rest):
            points.append(point.raw.clone())
            value, extra, gradient = step(point, *rest)
            assert gradient.shape == X.shape
            return value, extra, gradient

        return counted

    found = attack.run(model, hooked(X, wrap), Misclassification(LABELS)).raw
    assert len(wraps) == 1
    assert len(points) == calls
    assert torch.equal(found, attack.run(model, X, Misclassification(LABELS)))


def test_carlini_wagner_begins_at_no_offset(model):
    points = []

    def wrap(loss, differentiate):
        step = differentiate(loss)

        def seen(point, *rest):
            points.append(point.raw.clone())
            return step(point, *rest)

        return seen

    attack = foolbox.attacks.L2CarliniWagnerAttack(steps=1, binary_search_steps=2, abort_early=False)
    attack.run(model, hooked(X, wrap), Misclassification(LABELS))
    # So that what is added to the offset moves the start of every search.
    assert [point.abs().max() for point in points] == [0, 0]


def test_eagerpy_has_the_method_that_the_hook_replaces():
    assert list(inspect.signature(ep.PyTorchTensor._value_and_grad_fn).parameters) == ["self", "f", "has_aux"]


def test_pgd_asks_for_its_start_and_projection(model):
    attack = PlainAttack(rel_stepsize=0.1, steps=3, random_start=True)
    attack.start = torch.ones_like(X)
    epsilon = torch.tensor([0.1, 0.2]).view(2, 1, 1, 1)
    still = PlainAttack(rel_stepsize=0.0, steps=3, random_start=True)
    still.start = attack.start
    criterion = Misclassification(LABELS)
    ends = still.run(model, ep.astensor(X), criterion, epsilon=ep.astensor(epsilon)).raw
    torch.testing.assert_close(ends - X, epsilon.expand_as(X))
    ends = attack.run(model, ep.astensor(X), criterion, epsilon=ep.astensor(epsilon)).raw
    assert ((ends - X).abs() <= epsilon + 1e-6).all()
    assert ((ends - X).abs().flatten(1).amax(dim=1) > 0.9 * epsilon.flatten()).all()


class FakeAttack(foolbox.attacks.L2BrendelBethgeAttack):
    """Foolbox's own loop around a solver of ours, which takes no time to compile."""

    def instantiate_optimizer(self):
        return Straight()


class Straight:
    calls = 0

    def solve(self, x0, x, b, low, high, c, r):
        Straight.calls += 1
        assert x0.shape == x.shape == b.shape == (16,)
        assert (low, high) == (0.0, 1.0)
        Straight.radius = r
        return np.clip(x + c * b / (b @ b), low, high) - x


def test_brendel_bethge_steps_by_the_guarded_solver_with_a_radius_per_batch(model):
    Straight.calls = 0
    attack = guarded(FakeAttack)(steps=3, lr=1e-3, momentum=0.8)
    toward = torch.from_numpy(np.sign(WEIGHT[1] - WEIGHT[0])).float().view(1, 1, 4, 4)
    starts = (X + 0.5 * toward).clamp(0, 1)
    assert isinstance(attack._optimizer, GuardedSolver)
    found = attack.run(model, X, Misclassification(LABELS), starting_points=starts)
    assert (model(found).argmax(dim=1) != 0).all()
    assert Straight.calls == 3 * len(X)
    # Halved at each of so few steps.
    assert Straight.radius == pytest.approx(1e-3 * X.numel() / 2**3)


@pytest.mark.parametrize("norm", ["L0", "L1", "L2", "Linfinity"])
def test_every_brendel_bethge_attack_makes_its_solver_where_the_guard_stands(norm):
    family = getattr(foolbox.attacks, f"{norm}BrendelBethgeAttack")
    assert "instantiate_optimizer" in vars(family)
    assert "self.instantiate_optimizer()" in inspect.getsource(family.__init__)
