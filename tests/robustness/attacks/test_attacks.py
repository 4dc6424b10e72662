import warnings

import foolbox
import numpy as np
import pytest
import torch
from attack_problems import CPU, balanced_network, coarse_images, linear_model, run_attack, smooth_network
from foolbox.criteria import Misclassification
from torch import nn

from neuroreg.errors import InputError
from neuroreg.robustness.attacks.foolbox import CountingModel, GuardedSolver
from neuroreg.robustness.attacks.projected_gradient import RESOLVED, climb, smallest_epsilon
from neuroreg.robustness.attacks.registry import attack_methods, complete_setting, find_method
from neuroreg.robustness.attacks.rows import (
    Rows,
    run_watched,
    sample_normal,
    sample_uniform,
    setting_of_rows,
    to_images,
)
from neuroreg.robustness.evaluation import evaluation
from neuroreg.robustness.starting_points import choose_starting_points

CHEAP = {
    "pgd": {"steps": 10, "search_steps": 8, "rel_stepsize": 0.1},
    "adam_pgd": {"steps": 10, "search_steps": 8, "rel_stepsize": 0.1},
    "carlini_wagner": {
        "steps": 40,
        "binary_search_steps": 2,
        "initial_const": 1.0,
        "stepsize": 0.01,
        "box": 0.999999,
        "checks": 0,
        "bisections": 0,
    },
    "ddn": {"steps": 30},
    "jsma": {"theta": 0.5, "targets": 2},
    "sparsefool": {"steps": 5},
    "brendel_bethge_l0": {"steps": 10},
    "brendel_bethge_l2": {"steps": 10},
}
OURS = ("pgd", "adam_pgd", "carlini_wagner", "ddn")


def linear_problem(count=6):
    """Two linear classes, images in the middle of the box, and the minimal distances in closed form."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((2, 1024)) * 0.1
    x = rng.uniform(0.4, 0.6, (count, 1024)).astype(np.float32)
    direction = weight[0] - weight[1]
    bias = np.array([1.0 - (x @ direction).mean(), 0.0])
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.from_numpy(weight))
        model[1].bias.copy_(torch.from_numpy(bias))
    margin = x @ direction + bias[0]
    assert (margin > 0.1).all()
    minima = {order: margin / np.linalg.norm(direction, dual) for order, dual in ((2, 2), (np.inf, 1))}
    return model, torch.from_numpy(x).view(count, 1, 32, 32), torch.zeros(count, dtype=torch.int64), minima


def network_problem(count=5):
    x = coarse_images(24)
    model, labels = balanced_network(x)
    return model, x[:count], labels[:count]


def attack(method, model, x, labels, setting=None, repetition=0, seeds=None, starting_points=None):
    setting = CHEAP.get(method, {}) if setting is None else setting
    return run_attack(method, model, x, labels, repetition, seeds, starting_points, **setting)


def norms(found, x, order):
    return np.linalg.norm((found.double() - x.double()).flatten(1).numpy(), order, axis=1)


@pytest.mark.parametrize(
    ("method", "setting", "order", "tolerance"),
    [
        ("pgd", {"steps": 20, "rel_stepsize": 0.1}, np.inf, 0.01),
        ("adam_pgd", {"steps": 20, "rel_stepsize": 0.1}, np.inf, 0.01),
        ("ddn", {"steps": 200, "gamma": 0.02}, 2, 0.01),
        (
            "carlini_wagner",
            {"steps": 300, "binary_search_steps": 8, "initial_const": 0.1, "stepsize": 1e-3},
            2,
            0.01,
        ),
    ],
)
@pytest.mark.parametrize("repetition", [0, 1])
def test_linear_model_minimum_is_met(method, setting, order, tolerance, repetition):
    model, x, labels, minima = linear_problem()
    found, _ = attack(method, model, x, labels, setting, repetition)
    assert (model(found).argmax(dim=1) != labels).all()
    ratio = norms(found, x, order) / minima[order]
    assert ratio.min() > 1 - 1e-3
    assert ratio.max() < 1 + tolerance


def test_epsilon_grows_until_the_attack_succeeds():
    model, x, labels, minima = linear_problem()
    setting = {"steps": 5, "rel_stepsize": 0.5, "epsilon": 1e-5, "search_steps": 30}
    assert minima[np.inf].min() > 1e-4
    found, passes = attack("pgd", model, x, labels, setting)
    assert (norms(found, x, np.inf) / minima[np.inf]).max() < 1.05
    assert (passes < 30 * (2 * 5 + 1)).all()
    found, passes = attack("pgd", model, x, labels, setting | {"search_steps": 3})
    assert torch.isnan(found).all()
    # The image itself is asked once.
    assert (passes == 2 + 3 * (2 * 4 + 1)).all()


def test_epsilon_is_found_or_cannot_be_found():
    minima = torch.tensor([1e-4, 0.013, 0.2, 0.4])

    def attempt(epsilon, rows):
        tried.append(rows.tolist())
        found = (x[rows] + to_images(epsilon)).clamp(0, 1)
        return torch.where(to_images(epsilon >= minima[rows]), found, torch.nan)

    x, tried = torch.zeros(4, 1, 2, 2), []
    found, attempts = smallest_epsilon(attempt, x, torch.full((4,), 0.01), 40)
    excess = found.amax(dim=(1, 2, 3)) / minima - 1
    assert (excess >= 0).all()
    assert (excess <= RESOLVED * 1.01).all()
    # Each row leaves when its own is found.
    assert attempts.tolist() == [sum(row in rows for rows in tried) for row in range(4)]
    assert len(set(attempts.tolist())) > 1
    assert (attempts < 25).all()
    found, attempts = smallest_epsilon(
        lambda epsilon, rows: torch.full_like(x[rows], torch.nan), x, torch.full((4,), 0.5), 40
    )
    assert torch.isnan(found).all()
    assert attempts.tolist() == [3] * 4  # 0.5, 0.75, 1


def test_a_failure_further_out_than_an_adversarial_bounds_nothing():
    """At .06 the attack finds an adversarial at .02, nearer than .04, where it had found none."""
    x = torch.zeros(1, 1, 2, 2)

    def attempt(epsilon, rows):
        there = (epsilon > 0.05) | ((epsilon >= 0.015) & (epsilon <= 0.02))
        size = torch.where(epsilon > 0.05, 0.02, epsilon)
        return torch.where(to_images(there), to_images(size).expand_as(x), torch.nan)

    found, _ = smallest_epsilon(attempt, x, torch.tensor([0.04]), 40)
    assert 0.015 <= float(found.max()) <= 0.015 * (1 + 1.01 * RESOLVED)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("plain", foolbox.attacks.LinfProjectedGradientDescentAttack),
        ("adam", foolbox.attacks.LinfAdamProjectedGradientDescentAttack),
    ],
)
def test_projected_gradient_stops_at_the_first_of_foolboxs_adversarials(ours, theirs):
    model, x, labels = network_problem(4)
    bridge = foolbox.PyTorchModel(model, bounds=(0, 1), device=CPU)
    epsilons = torch.tensor([0.0001, 0.004, 0.01, 0.3])
    with evaluation(model, CPU):
        found, passes = climb(
            ours,
            model,
            x,
            labels,
            epsilon=epsilons,
            stepsize=0.2 * epsilons,
            steps=6,
            start=torch.zeros_like(x),
        )
    stopped = []
    for row, epsilon in enumerate(epsilons.tolist()):
        for steps in range(1, 7):
            attacker = theirs(steps=steps, abs_stepsize=0.2 * epsilon, random_start=False)
            point = attacker.run(bridge, x, Misclassification(labels), epsilon=epsilon)[row]
            if model(point[None]).argmax() != labels[row]:
                break
        else:
            assert torch.isnan(found[row]).all()
            assert passes[row] == 2 * 6 + 1
            stopped.append(None)
            continue
        torch.testing.assert_close(found[row], point, rtol=0, atol=1e-7)
        assert passes[row] == 2 * steps + (1 if steps == 6 else 2)
        stopped.append(steps)
    assert len(set(stopped)) > 2


def test_first_repetitions_are_foolbox():
    model, x, labels = network_problem()
    bridge, criterion = foolbox.PyTorchModel(model, bounds=(0, 1), device=CPU), Misclassification(labels)
    ddn = foolbox.attacks.DDNAttack(steps=30).run(bridge, x, criterion)
    for method in ("ddn", "foolbox_ddn"):
        found, passes = attack(method, model, x, labels, CHEAP["ddn"] | {"bisections": 0})
        torch.testing.assert_close(found, ddn, rtol=0, atol=1e-6)
        assert (passes == 60).all()
    reference = foolbox.attacks.L2CarliniWagnerAttack(
        steps=40, binary_search_steps=2, initial_const=1.0, stepsize=0.01, abort_early=False
    ).run(bridge, x, criterion)
    for method in ("carlini_wagner", "foolbox_carlini_wagner"):
        found, passes = attack(method, model, x, labels, CHEAP["carlini_wagner"])
        torch.testing.assert_close(found, reference, rtol=0, atol=1e-6)
        assert (passes == 160).all()


def test_each_row_leaves_carlini_wagner_as_it_does_alone_in_foolbox():
    model, x, labels = network_problem()
    setting = CHEAP["carlini_wagner"] | {"steps": 300, "stepsize": 0.03, "checks": 10}
    found, passes = attack("carlini_wagner", model, x, labels, setting)
    told = {name: setting[name] for name in ("steps", "binary_search_steps", "initial_const", "stepsize")}
    for row in range(len(x)):
        counter = CountingModel(model)
        one = slice(row, row + 1)
        reference = foolbox.attacks.L2CarliniWagnerAttack(**told, abort_early=True).run(
            counter.for_foolbox(CPU), x[one], Misclassification(labels[one])
        )
        torch.testing.assert_close(found[one], reference, rtol=0, atol=1e-5)
        assert passes[row] == counter.passes
    assert len(set(passes.tolist())) > 1
    assert (passes < 2 * 2 * 300).all()


@pytest.mark.parametrize("method", ["ddn", "carlini_wagner"])
def test_the_closest_is_drawn_in(method):
    model, x, labels, _ = linear_problem()
    setting = CHEAP[method] | {"bisections": 0}
    found, passes = attack(method, model, x, labels, setting)
    drawn, more = attack(method, model, x, labels, setting | {"bisections": 10})
    assert torch.equal(more, passes + 10)
    assert (model(drawn).argmax(dim=1) != labels).all()
    shares = torch.from_numpy(norms(drawn, x, 2) / norms(found, x, 2))
    assert (shares <= 1).all()
    assert (shares < 0.9999).any()
    # It lies on the way, and 0.2 % nearer the label has the lead.
    on_the_way = x + (shares[:, None, None, None] * (found - x).double()).float()
    torch.testing.assert_close(drawn, on_the_way, rtol=0, atol=1e-6)
    nearer = x + (1 - 0.002) * (drawn - x)
    assert (model(nearer).argmax(dim=1) == labels)[shares < 1].all()


@pytest.mark.parametrize("method", OURS)
def test_random_repetitions_are_those_with_foolboxs_classes(method):
    # A linear model: rounding decides nothing there that could lead the two apart.
    model, x, labels, _ = linear_problem(3)
    drawn = "pgd" not in method
    setting = CHEAP[method] | ({"bisections": 0} if drawn else {})
    found, passes = attack(method, model, x, labels, setting, repetition=2)
    theirs, spent = attack(f"foolbox_{method}", model, x, labels, setting, repetition=2)
    assert torch.isfinite(found).all()
    if drawn:
        assert torch.equal(passes, spent)
        torch.testing.assert_close(found, theirs, rtol=0, atol=1e-5)
    else:
        # Ours stops where Foolbox goes on to the last step.
        assert (norms(found, x, np.inf) <= 1.01 * norms(theirs, x, np.inf)).all()
        assert (passes < spent).all()


@pytest.mark.parametrize("method", ["pgd", "adam_pgd"])
def test_projected_gradient_asks_once_of_the_image(method):
    model, x, labels, _ = linear_problem()
    setting = CHEAP[method] | {"epsilon": 0.001}
    at_image, asked = [], []

    def count(module, inputs, logits):
        at_image.append(int((inputs[0] == x[0]).flatten(1).all(dim=1).sum()))
        asked.append(len(logits))

    hook = model.register_forward_hook(count)
    alone, passes = attack(method, model, x[:1], labels[:1], setting)
    hook.remove()
    assert sum(at_image) == 1
    # Each forward pass but the last of an epsilon that failed has a backward one.
    assert sum(asked) <= passes.item() <= 2 * sum(asked)
    # Searches that ask every time find the same.
    closest, _ = smallest_epsilon(
        lambda epsilon, some: climb(
            {"pgd": "plain", "adam_pgd": "adam"}[method],
            model,
            x[some],
            labels[some],
            epsilon=epsilon,
            stepsize=setting["rel_stepsize"] * epsilon,
            steps=setting["steps"],
            start=torch.zeros_like(x[some]),
        )[0],
        x[:1],
        torch.tensor([setting["epsilon"]]),
        setting["search_steps"],
    )
    assert torch.equal(alone, closest)


def test_carlini_wagner_says_where_nothing_was_found():
    model, x, labels, _ = linear_problem()
    setting = {"steps": 2, "binary_search_steps": 1, "initial_const": 1e-9}
    found, _ = attack("carlini_wagner", model, x, labels, setting)
    assert torch.isnan(found).all()


def test_carlini_wagner_ends_with_nothing_however_often_its_constant_has_grown():
    """In float32 a constant that grows fiftyfold by ten is infinite, the loss NaN."""
    weight = np.random.default_rng(0).standard_normal((3, 16))
    model = linear_model(weight, np.array([100.0, 0.0, 0.0])).float()
    x, labels = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    setting = complete_setting("carlini_wagner", {"binary_search_steps": 60, "steps": 3})
    asked = setting_of_rows([setting], labels, x)
    rows = Rows(x, labels, asked, torch.tensor([0, 1]), torch.arange(2))
    with evaluation(model, CPU):
        found, _, failed = run_watched(find_method("carlini_wagner").load(), model, rows)
    assert torch.isnan(found).all()
    assert not failed.any()


def saturated_problem():
    """The smooth network and images with a fifth of the pixels black and a fifth white, one all black."""
    model, _ = smooth_network(1)
    x = np.random.default_rng(2).uniform(-0.3, 1.3, (12, 49)).clip(0, 1)
    x[0] = 0.0
    images = torch.from_numpy(x).view(-1, 1, 7, 7)
    return model, images, model(images).argmax(dim=1)


def test_carlini_wagner_moves_black_and_white_pixels():
    model, x, labels = saturated_problem()
    setting = {"steps": 300, "binary_search_steps": 6, "initial_const": 0.1}
    found, _ = attack("carlini_wagner", model, x, labels, setting)
    theirs, _ = attack("carlini_wagner", model, x, labels, setting | {"box": 0.999999})
    assert torch.isfinite(found).all()
    assert torch.isnan(theirs[0]).all()
    # Foolbox's share leaves saturated pixels where they are.
    there = torch.isfinite(theirs).flatten(1).all(dim=1)
    assert there.sum() >= 8
    ours, others = (norms(points[there], x[there], 2) for points in (found, theirs))
    assert ours.mean() < 0.9 * others.mean()
    assert (ours < 1.01 * others).all()
    assert found.min() >= 0
    assert found.max() <= 1
    # Those that are better left alone stay at the edge.
    assert ((found == x) & ((x == 0) | (x == 1))).any()


def test_at_its_share_of_the_box_carlini_wagner_is_foolbox_on_saturated_pixels_too():
    model, x, labels = saturated_problem()
    model, x = model.float().eval(), x.float()
    found, _ = attack("carlini_wagner", model, x, labels, CHEAP["carlini_wagner"])
    bridge = foolbox.PyTorchModel(model, bounds=(0, 1), device=CPU)
    own = ("box", "checks", "bisections")
    told = {name: value for name, value in CHEAP["carlini_wagner"].items() if name not in own}
    reference = foolbox.attacks.L2CarliniWagnerAttack(**told, abort_early=False).run(
        bridge, x, Misclassification(labels)
    )
    there = torch.isfinite(found).flatten(1).all(dim=1)
    assert torch.equal(there, (reference != 0).flatten(1).any(dim=1))
    torch.testing.assert_close(found[there], reference[there], rtol=0, atol=2e-5)


@pytest.mark.parametrize(("draw", "low", "std"), [(sample_normal, -9, 1), (sample_uniform, -1, 3**-0.5)])
def test_noise_belongs_to_its_sample(draw, low, std):
    like, seeds, first = torch.zeros(40, 1, 32, 32), torch.arange(40), torch.ones(40, dtype=torch.int64)
    noise = draw(Rows(like, seeds, {}, first, seeds), "start")
    few = Rows(like[:3], seeds[:3], {}, first[:3], seeds[[5, 0, 39]])
    assert torch.equal(draw(few, "start"), noise[[5, 0, 39]])
    some = draw(Rows(like, seeds, {}, first + seeds % 2, seeds), "start")
    assert torch.equal(some[::2], noise[::2])
    assert (some[1::2] != noise[1::2]).flatten(1).any(dim=1).all()
    assert low <= noise.min()
    assert noise.max() <= -low
    assert float(noise.std()) == pytest.approx(std, rel=0.02)
    assert abs(float(noise.mean())) < 0.02


def test_starting_points_are_what_they_should_be():
    rng = np.random.default_rng(0)
    logits, pool_labels = rng.standard_normal((200, 4)), rng.integers(0, 4, 200)
    labels, seeds = rng.integers(0, 4, 50), np.arange(50)
    chosen = np.stack([choose_starting_points(logits, pool_labels, labels, seeds, k) for k in range(5)])
    for row, label in enumerate(labels):
        assert len(set(chosen[:, row])) == 5
        for start in chosen[:, row]:
            assert pool_labels[start] != label
            assert logits[start].argmax() != label
    some = choose_starting_points(logits, pool_labels, labels[10:12], seeds[10:12], 3)
    assert np.array_equal(some, chosen[3, 10:12])


def test_starting_points_run_out():
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1e-5], [1000.0, 1000.01]])
    pool_labels = np.array([1, 1, 1, 1])
    chosen = [
        choose_starting_points(logits, pool_labels, np.array([0, 1]), np.arange(2), k) for k in range(5)
    ]
    # Of label 0, the second and third are well on the other side, as logits of their size go, the last only
    # just; of label 1 there is nothing else.
    # After the second it begins anew.
    assert [list(c) for c in chosen] == [[1, -1], [2, -1], [1, -1], [2, -1], [1, -1]]


class Deeper:
    """A solver with Foolbox's fault: out of reach, it goes along -b whatever the sign of c, and too far."""

    def solve(self, x0, x, b, low, high, c, r):
        return np.clip(x - 1e3 * b, low, high) - x


def test_out_of_reach_the_step_goes_to_the_plane_and_keeps_the_radius():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, b = rng.random(64), rng.standard_normal(64)
        r = rng.uniform(0.01, 1.0)
        step = GuardedSolver(Deeper(), scale_free=False).solve(x, x, b, 0.0, 1.0, 50.0, r)
        assert np.linalg.norm(step) <= r * (1 + 1e-9)
        assert (x + step).min() >= 0
        assert (x + step).max() <= 1
        # The best of many feasible steps of the same length is no further along b.
        others = rng.standard_normal((2000, 64)) + rng.uniform(0, 5, (2000, 1)) * b
        others *= r / np.linalg.norm(others, axis=1, keepdims=True)
        others = np.clip(x + others, 0, 1) - x
        assert b @ step >= (others @ b).max() - 1e-9
        # A plane within reach is met.
        step = GuardedSolver(Deeper(), scale_free=True).solve(x, x, b, 0.0, 1.0, 1e-3, r)
        assert b @ step == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("b", "c"), [(np.zeros(8), 1.0), (np.full(8, np.nan), 1.0), (np.ones(8), np.nan), (np.ones(8), np.inf)]
)
def test_what_has_no_solution_never_reaches_the_solver(b, c):
    class Never:
        def solve(self, *args):
            raise AssertionError

    x = np.full(8, 0.5)
    assert not GuardedSolver(Never(), scale_free=True).solve(x, x, b, 0.0, 1.0, c, 0.1).any()


def test_brendel_bethge_meets_the_linear_minimum_whatever_the_batch():
    # One norm only: each costs the compiler half a minute.
    model, x, labels, minima = linear_problem(4)
    starts = torch.full_like(x, torch.nan)
    direction = (model[1].weight[1] - model[1].weight[0]).detach().sign().view(1, 32, 32)
    starts[:3] = (x[:3] + 0.3 * direction).clamp(0, 1)
    assert (model(starts[:3]).argmax(dim=1) != labels[:3]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, queries = attack(
            "brendel_bethge_l2", model, x, labels, {"steps": 100, "radius": 0.05}, starting_points=starts
        )
    assert torch.isnan(found[3]).all()
    assert queries[3] == 0
    assert queries[0] > 100
    assert (model(found[:3]).argmax(dim=1) != labels[:3]).all()
    ratio = norms(found[:3], x[:3], 2) / minima[2][:3]
    assert ratio.min() > 1 - 1e-3
    assert ratio.max() < 1.02
    for row in range(3):
        part = slice(row, row + 1)
        alone, _ = attack(
            "brendel_bethge_l2",
            model,
            x[part],
            labels[part],
            {"steps": 100, "radius": 0.05},
            starting_points=starts[part],
        )
        np.testing.assert_allclose(norms(alone, x[part], 2), norms(found[part], x[part], 2), rtol=1e-4)


def test_defaults_complete_a_setting():
    complete = {"steps": 7, "gamma": 0.05, "init_epsilon": 1.0, "bisections": 10}
    assert complete_setting("ddn", {"steps": 7}) == complete
    assert isinstance(complete_setting("ddn", {"init_epsilon": 1})["init_epsilon"], float)
    assert len(attack_methods()) == 27
    for method in attack_methods():
        assert complete_setting(method, complete_setting(method, {})) == complete_setting(method, {})


@pytest.mark.parametrize(
    ("method", "setting", "message"),
    [
        ("fgsm", {}, "method 'fgsm'; expected one of apgd_t_l2, apgd_t_linf"),
        ("ddn", {"step": 3}, "setting 'step' of ddn; expected one of steps, gamma"),
        ("foolbox_carlini_wagner", {"box": 0.99}, r"box is 0\.99; expected a number from 0\.999999 to 0"),
        ("pgd", {"steps": 0}, r"pgd\.steps is 0; expected a whole number from 1"),
        ("ddn", {"steps": 1}, r"ddn\.steps is 1; expected a whole number from 2"),
        ("carlini_wagner", {"steps": 1}, r"carlini_wagner\.steps is 1; expected a whole number from 2"),
        ("warm_brendel_bethge_l2", {"start_steps": 1}, r"start_steps is 1; expected a whole number from 2"),
        ("ddn", {"steps": 2.5}, r"ddn\.steps is 2\.5"),
        ("ddn", {"steps": True}, r"ddn\.steps is True"),
        ("pgd", {"epsilon": float("nan")}, r"pgd\.epsilon is nan; expected a number"),
        ("brendel_bethge_l0", {"momentum": "0.5"}, r"brendel_bethge_l0\.momentum is '0\.5'"),
    ],
)
def test_bad_settings_are_refused(method, setting, message):
    with pytest.raises(InputError, match=message):
        complete_setting(method, setting)
