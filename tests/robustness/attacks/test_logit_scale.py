"""Logits times a factor are the same classifier with the same minima; an attack should find the same."""

import copy

import numpy as np
import pytest
import torch
from attack_problems import CPU, run_attack
from tier_problems import trained_digits
from torch import nn

from neuroreg.robustness.attacks.registry import ATTACK_METHODS
from neuroreg.robustness.attacks.rows import cross_entropy_direction
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.logit_margin import Scaled, logit_factor, mean_margin
from neuroreg.robustness.minimal_distance import search
from neuroreg.robustness.verification import verify

FACTORS = (1 / 8, 1.0, 8.0, 64.0)
# C&W and PDPGD find the weight of loss against distance by themselves, if they have the time.
SETTINGS = {
    "pgd": {"steps": 10, "search_steps": 14, "rel_stepsize": 0.1},
    "adam_pgd": {"steps": 10, "search_steps": 14, "rel_stepsize": 0.1},
    "carlini_wagner": {"steps": 100, "binary_search_steps": 10, "initial_const": 0.1, "stepsize": 0.02},
    "ddn": {"steps": 60},
    "jsma": {"theta": 0.1},
    "sigma_zero": {"steps": 100},
    "pdpgd": {"steps": 800},
    "apgd_t": {"steps": 15, "search_steps": 12},
    "fab": {"steps": 15},
    "brendel_bethge": {"steps": 30},
}
# What depends on the scale as published, because probabilities do, and the factors at which it may. The
# cross-entropy pushes the label down against the mean of all other classes weighted by their probabilities:
# the quieter the logits, the less is that the nearest boundary's direction. JSMA raises a probability.
# Warm starts are where PGD and DDN end.
BY_DEFINITION = {"pgd": {1 / 8}, "adam_pgd": {1 / 8}, "ddn": {1 / 8}, "jsma": {1 / 8, 8.0, 64.0}}
BY_DEFINITION |= {"warm_brendel_bethge_l2": {1 / 8}, "warm_brendel_bethge_linf": {1 / 8}}
OURS = [method for method in ATTACK_METHODS if not method.startswith("foolbox_")]


def short_setting(method):
    return next((value for name, value in SETTINGS.items() if method.startswith(name)), {})


@pytest.fixture(scope="module")
def digits():
    """The trained network, eight images that it gets right, their labels, images of other classes."""
    model, images, labels, sample = trained_digits()
    x, targets = to_input(images), torch.from_numpy(labels)
    seen = predict(model, x, batch_size=300, device=CPU).argmax(dim=1)
    other = [((seen != label) & (targets != label)).nonzero()[0, 0] for label in targets[sample]]
    return model, x[sample], targets[sample], x[torch.stack(other)]


@pytest.mark.parametrize("method", OURS)
def test_distances_do_not_depend_on_the_scale_of_logits(method, digits):
    model, x, labels, starts = digits
    known = ATTACK_METHODS[method]
    starts = starts if known.needs_starting_points else None
    setting = short_setting(method)
    means = {}
    for factor in FACTORS:
        network = Scaled(model, factor)
        found, _ = run_attack(method, network, x, labels, starting_points=starts, **setting)
        outcome = verify(network, x, labels, found, batch_size=8, device=CPU)
        assert outcome.verified.all()
        means[factor] = float(outcome.distance[known.norm].mean())
    for factor in FACTORS:
        off = 0.3 if factor in BY_DEFINITION.get(method, ()) else 0.02
        assert means[factor] == pytest.approx(means[1.0], rel=off), factor


@pytest.mark.parametrize("classes", [10, 2])
@pytest.mark.parametrize("factor", FACTORS)
def test_direction_is_the_cross_entropys(digits, factor, classes):
    """In float32, as in float64, in which the cross-entropy itself is good for leads up to about 30."""
    model, x, labels, _ = digits
    # The label and the classes after it.
    kept = (labels[:, None] + torch.arange(classes)) % 10
    own = torch.zeros_like(labels)

    def network(points):
        asked = model if points.dtype == torch.float32 else exact
        return factor * asked(points).gather(1, kept)

    exact = copy.deepcopy(model).double()
    logits, used = cross_entropy_direction(network, x, own)
    fine, meant = cross_entropy_direction(network, x.double(), own)
    torch.testing.assert_close(logits, fine.float(), rtol=1e-4, atol=1e-4 * factor)
    assert nn.functional.cosine_similarity(used.double().flatten(1), meant.flatten(1)).min() > 1 - 1e-4
    point = x.double().requires_grad_(True)
    loss = nn.functional.cross_entropy(network(point), own, reduction="sum")
    published = torch.autograd.grad(loss, point)[0].flatten(1)
    unsaturated = fine[:, 0] - fine[:, 1:].logsumexp(dim=1) < 25
    cosine = nn.functional.cosine_similarity(published / published.norm(), meant.flatten(1))
    assert (cosine[unsaturated] > 1 - 1e-4).all()
    assert unsaturated.any() or factor > 1


@pytest.mark.parametrize("method", ["pgd", "ddn"])
def test_a_thousandfold_louder_model_is_as_easy(method, digits):
    model, x, labels, _ = digits
    near, far = (
        run_attack(method, Scaled(model, factor), x, labels, **SETTINGS[method])[0] for factor in (8, 1000)
    )
    torch.testing.assert_close(far, near, rtol=0, atol=0.02)


# All but Foolbox's Brendel-Bethge, which never look at how large logits are and take long to compile.
SEARCHED = [*OURS, "foolbox_pgd", "foolbox_adam_pgd", "foolbox_carlini_wagner", "foolbox_ddn"]


@pytest.mark.parametrize("method", SEARCHED)
def test_a_search_at_one_margin_finds_the_same_however_loud_the_model(method):
    model, images, labels, sample = trained_digits()
    setting = short_setting(method.removeprefix("foolbox_"))

    def found(factor):
        options = {"repetitions": 1, "seed": 0, "batch_size": 8, "device": CPU, "logit_margin": 4.0}
        network = Scaled(model, factor)
        result = search(network, images, labels, sample, method=method, settings=[setting], **options)
        assert result.verified.all()
        return result.distance[ATTACK_METHODS[method].norm]

    plain = found(1.0)
    # Times a power of two nothing is rounded, not even where all logits are below 0.01.
    for factor in (2.0**-12, 64.0):
        np.testing.assert_array_equal(found(factor), plain)
    assert found(3.0).mean() == pytest.approx(plain.mean(), rel=0.02)


def test_the_mean_margin_is_over_what_the_model_gets_right():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 5)), rng.integers(0, 5, 40)
    margins = [row[label] - np.delete(row, label).max() for row, label in zip(logits, labels, strict=True)]
    logits[0], margins[0] = np.nan, np.nan
    right = [margin for margin in margins if margin > 0]
    mean, count = mean_margin(torch.from_numpy(logits), torch.from_numpy(labels))
    assert (mean, count) == (pytest.approx(np.mean(right)), len(right))


def test_the_factor_gives_the_margin_that_is_asked_for():
    model, images, labels, _ = trained_digits()
    options = {"seed": 1, "batch_size": 100, "device": CPU}
    factor = logit_factor(model, images, labels, margin=2.5, **options)
    logits = predict(Scaled(model, factor), to_input(images), batch_size=100, device=CPU)
    assert mean_margin(logits, torch.from_numpy(labels))[0] == pytest.approx(2.5, rel=1e-5)
    assert logit_factor(Scaled(model, 8.0), images, labels, margin=2.5, **options) == factor / 8
    # A model that is never right is left alone.
    logits = model(to_input(images))
    worst = logits.argmin(dim=1).numpy()
    assert logit_factor(model, images, worst, margin=2.5, **options) == 1.0
