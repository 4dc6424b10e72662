"""What every attack of the registry keeps to; what is its own is tested beside this file."""

import numpy as np
import pytest
import torch
from attack_problems import CPU, linear_model, run_attack, smooth_logits
from tier_problems import smooth_problem, trained_digits
from torch import nn

from neuroreg.robustness.attacks.registry import ATTACK_METHODS, complete_setting
from neuroreg.robustness.attacks.rows import Rows, run_watched, setting_of_rows
from neuroreg.robustness.evaluation import Watched, evaluation, predict, to_input
from neuroreg.robustness.verification import measure, verify

# Few steps, enough to find something.
CHEAP = {
    "pgd": {"steps": 10, "search_steps": 10, "rel_stepsize": 0.1, "epsilon": 0.05},
    "adam_pgd": {"steps": 10, "search_steps": 10, "rel_stepsize": 0.1, "epsilon": 0.05},
    "carlini_wagner": {"steps": 25, "binary_search_steps": 2, "initial_const": 10.0, "stepsize": 0.05},
    "ddn": {"steps": 20},
    "jsma": {"theta": 0.5, "targets": 4},
    "sparsefool": {"steps": 10},
    "sigma_zero": {"steps": 60},
    "pdpgd": {"steps": 60},
    "apgd_t": {"steps": 8, "search_steps": 6},
    "fab": {"steps": 15},
    "brendel_bethge": {"steps": 8},
    "warm_brendel_bethge_l2": {"start_steps": 20, "steps": 8},
    "warm_brendel_bethge_linf": {"start_steps": 8, "steps": 8},
}
# Not Foolbox's Brendel & Bethge: it compiles each norm's solver for half a minute, rounds steps to float32,
# and stops at the boundary without a margin. test_foolbox.py and test_boundary_attack.py test these.
METHODS = [method for method in ATTACK_METHODS if not method.startswith("foolbox_brendel_bethge")]
every_attack = pytest.mark.parametrize("method", METHODS)


def cheap(method):
    ours = method.removeprefix("foolbox_")
    return next((setting for name, setting in CHEAP.items() if ours.startswith(name)), {})


def starts_for(method, starts):
    return starts if ATTACK_METHODS[method].needs_starting_points else None


def smooth_rows(method):
    """Six rows of the smooth problem in float64: three repetitions, two values of each number."""
    model, weights, x, labels = smooth_problem()
    corners = np.random.default_rng(3).integers(0, 2, (3000, 49)).astype(float)
    classes = np.array([smooth_logits(weights, corner)[0].argmax() for corner in corners])
    starts = np.stack([corners[(classes != label).argmax()] for label in labels])
    known, one = ATTACK_METHODS[method].settings, complete_setting(method, cheap(method))
    other = {
        name: value if isinstance(value, int) else min(max(1.3 * value, known[name].low), known[name].high)
        for name, value in one.items()
    }
    images, which = torch.from_numpy(x).view(-1, 1, 7, 7), torch.arange(6) % 2
    rows = Rows(
        x=images,
        labels=torch.from_numpy(labels),
        setting=setting_of_rows([one, other], which, images),
        repetition=torch.tensor([0, 1, 0, 2, 1, 0]),
        seeds=torch.arange(6) + 7,
        starting_points=starts_for(method, torch.from_numpy(starts).view(-1, 1, 7, 7)),
    )
    return model, rows, setting_of_rows([one], torch.zeros_like(which), images)


@every_attack
def test_rows_are_alone(method):
    """Each ends where it ends by itself: its own repetition, seed, start and value of every setting."""
    model, rows, first_setting = smooth_rows(method)
    attack = ATTACK_METHODS[method].load()

    def agree(one, other, atol=1e-7):
        # Further candidates may be missing.
        torch.testing.assert_close(one, other, rtol=0, atol=atol, equal_nan=True)

    with evaluation(model, CPU):
        together, queries = attack(model, rows)
        first = together[:, 0] if together.ndim > rows.x.ndim else together
        assert first.shape == rows.x.shape
        assert torch.isfinite(first).all()
        assert (queries > 1).all()
        agree(together, attack(model, rows)[0], atol=0)
        backwards = torch.arange(5, -1, -1)
        mirrored, passes = attack(model, rows.take(backwards))
        agree(mirrored[backwards], together)
        assert torch.equal(passes[backwards], queries)
        for row in (1, 2, 3):
            alone, passes = attack(model, rows.take(torch.tensor([row])))
            agree(alone[0], together[row])
            assert passes[0] == queries[row]
        same, _ = attack(model, Rows(**vars(rows) | {"setting": first_setting}))
    agree(same[::2], together[::2])
    if any(isinstance(value, torch.Tensor) for value in first_setting.values()):
        assert not torch.isclose(same[1::2], together[1::2], equal_nan=True).all()


class Spoilt(nn.Module):
    """A model whose logits are `bad` all around one image, but not at the image itself."""

    def __init__(self, model, image, radius, bad):
        super().__init__()
        self.model, self.image, self.radius, self.bad = model, image, radius, bad

    def forward(self, x):
        away = (x - self.image).flatten(1).norm(dim=1, keepdim=True)
        return torch.where((away > 0) & (away < self.radius), self.bad, self.model(x))


# One of the two for each: test_evaluation.py has both for what tells them apart.
@pytest.mark.parametrize(
    ("method", "bad"), [(method, (torch.nan, torch.inf)[number % 2]) for number, method in enumerate(METHODS)]
)
def test_a_row_that_meets_nan_fails_alone(method, bad):
    model, rows, _ = smooth_rows(method)
    attack = ATTACK_METHODS[method].load()
    with evaluation(model, CPU):
        found, passes = attack(model, rows)
    # Up to a little beyond its closest adversarial.
    own = found[3].reshape(-1, *rows.shape)
    reached = (own[torch.isfinite(own).flatten(1).all(dim=1)] - rows.x[3]).flatten(1).norm(dim=1).min()
    spoilt = Spoilt(model, rows.x[3], 1.001 * reached, bad)
    with evaluation(spoilt, CPU):
        others, spent, failed = run_watched(attack, spoilt, rows)
        alone = [Watched(spoilt) for _ in range(6)]
        for row, watched in enumerate(alone):
            attack(watched, rows.take(torch.tensor([row])))
    assert failed.tolist() == [watched.met() for watched in alone]
    assert failed[3]
    assert failed.sum() <= 2  # the way from a start may lead past another's image
    assert torch.isnan(others[3]).all()
    left = ~failed
    torch.testing.assert_close(others[left], found[left], rtol=0, atol=1e-7, equal_nan=True)
    assert torch.equal(spent[left], passes[left])


@pytest.fixture(scope="module")
def digits():
    """The trained network, eight images that it gets right, their labels, and images of other classes."""
    model, images, labels, sample = trained_digits()
    x, targets = to_input(images), torch.from_numpy(labels)
    seen = predict(model, x, batch_size=300, device=CPU).argmax(dim=1)
    other = [((seen != label) & (targets != label)).nonzero()[:2, 0] for label in targets[sample]]
    return model, x[sample], targets[sample], x[torch.stack(other).T]


def attack_digits(digits, method, repetition=0, rows=slice(None), seeds=None, start=0):
    model, x, labels, starts = digits
    seeds = torch.arange(len(x)) + 100 if seeds is None else seeds
    starts = starts_for(method, starts[start][rows])
    return run_attack(method, model, x[rows], labels[rows], repetition, seeds[rows], starts, **cheap(method))


@pytest.mark.parametrize("method", ["pgd", "adam_pgd", "carlini_wagner", "ddn", "jsma", "sparsefool"])
def test_a_sample_has_no_neighbours_in_float32(method, digits):
    """Convolutions round differently in another batch; in these attacks that stays small."""
    whole, queries = attack_digits(digits, method, 1)
    assert torch.equal(whole, attack_digits(digits, method, 1)[0])
    norm, x = ATTACK_METHODS[method].norm, digits[1]
    sizes = measure(x, whole)[norm]
    for row in range(4):
        alone, passes = attack_digits(digits, method, 1, slice(row, row + 1))
        assert passes[0] == queries[row]
        size = measure(x[row : row + 1], alone)[norm][0]
        torch.testing.assert_close(size, sizes[row], rtol=2e-3, atol=1.0 if norm == "l0" else 0.0)


@every_attack
def test_repetitions_differ_and_seeds_decide(method, digits):
    ends = [attack_digits(digits, method, repetition)[0] for repetition in (0, 1, 2, 1)]
    assert torch.equal(ends[1], ends[3])
    other, first = (
        attack_digits(digits, method, repetition, seeds=torch.arange(8) + 9)[0] for repetition in (1, 0)
    )
    assert torch.equal(first, ends[0])
    if ATTACK_METHODS[method].needs_starting_points:
        assert torch.equal(ends[0], ends[1])
        assert not torch.equal(attack_digits(digits, method, start=1)[0], ends[0])
        return
    assert not torch.equal(other, ends[1])
    for one, another in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(ends[one], ends[another])


@every_attack
def test_what_is_found_holds(method, digits):
    """It lies in the box, is misclassified and stays so when it is verified."""
    model, x, labels, _ = digits
    found, queries = attack_digits(digits, method, 1)
    assert found.dtype == torch.float32
    assert found.shape == x.shape
    assert queries.dtype == torch.int64
    assert queries.shape == labels.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert (model(found).argmax(dim=1) != labels).all()
    outcome, norm = verify(model, x, labels, found, batch_size=3, device=CPU), ATTACK_METHODS[method].norm
    # Verification undoes the smallest differences.
    ratio = outcome.distance[norm] / measure(x, found)[norm]
    assert ratio.max() < 1 + 1e-5
    assert ratio.min() > 0.99


@every_attack
@pytest.mark.parametrize("repetition", [0, 1])
@pytest.mark.parametrize("scale", [0.0, 1e-12])
def test_a_flat_model_is_given_up(method, repetition, scale):
    """Where no pixel matters nothing is found, and nothing breaks."""
    weight = np.random.default_rng(0).standard_normal((5, 16)) * scale
    model = linear_model(weight, np.array([1.0, 0.0, 0.0, 0.0, 0.0])).float()
    x, labels = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    starts = starts_for(method, torch.full_like(x, torch.nan))
    setting = cheap(method) | ({"steps": 4} if "steps" in ATTACK_METHODS[method].settings else {})
    found, queries = run_attack(method, model, x, labels, repetition, starting_points=starts, **setting)
    assert torch.isnan(found).all()
    assert ((queries == 0) if starts is not None else (queries > 0)).all()


@every_attack
def test_one_row_of_two_classes(method):
    rng = np.random.default_rng(0)
    weight, x = rng.standard_normal((2, 64)), rng.uniform(0.4, 0.6, (1, 64))
    bias = np.array([1.0 - x[0] @ (weight[0] - weight[1]), 0.0])
    images = torch.from_numpy(x).float().view(1, 1, 8, 8)
    model = linear_model(weight, bias).float()
    toward = torch.from_numpy(np.sign(weight[1] - weight[0])).float().view(1, 1, 8, 8)
    starts = starts_for(method, (images + 0.3 * toward).clamp(0, 1))
    labels = torch.zeros(1, dtype=torch.int64)
    for repetition in (0, 1):
        found, _ = run_attack(
            method, model, images, labels, repetition, starting_points=starts, **cheap(method)
        )
        assert model(found).argmax() == 1
