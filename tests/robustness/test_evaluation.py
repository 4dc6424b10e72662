import copy

import pytest
import torch
from torch import nn

from neuroreg.robustness.attacks.foolbox import CountingModel
from neuroreg.robustness.evaluation import FixedBatch, Watched, folded, quick
from neuroreg.robustness.logit_margin import Scaled
from neuroreg.training.networks import ResNet


def trained(model):
    """Give every batch norm of `model` statistics and weights that do something, in place."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model.eval()


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def images(count):
    return torch.rand((count, 1, 32, 32), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34"])
def test_logits_and_gradients_stay(architecture):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = trained(ResNet(architecture, width=4))
    before = copy.deepcopy(model.state_dict())
    faster = folded(model.train())
    assert model.training
    assert norms(model) > 15
    assert norms(faster) == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    x = images(6)
    results = []
    for network in (model.eval(), faster):
        point = x.clone().requires_grad_(True)
        logits = network(point)
        results.append((logits.detach(), torch.autograd.grad(logits.square().sum(), point)[0]))
    for ours, theirs in zip(*results, strict=True):
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


def test_a_quick_copy_answers_alike_and_leaves_the_model_as_it_was():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = trained(ResNet(width=4))
    faster = quick(model, torch.device("cpu"))
    weight, own = faster.sections[0][0].conv1.weight, model.sections[0][0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert own.is_contiguous() and norms(model) > norms(faster) == 0
    with torch.no_grad():
        torch.testing.assert_close(faster(images(6)), model(images(6)), rtol=1e-4, atol=1e-5)


class Sum(nn.Module):
    """Batch norm does not follow the convolution whose name stands before it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, x):
        return self.conv1(self.bn1(x))


class Wider(ResNet):
    """A subclass may do otherwise."""

    def features(self, x):
        return [2 * self.bn1(self.conv1(x)), *super().features(x)[1:]]


def test_what_is_not_known_to_follow_is_left_alone():
    shared, norm, act = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.ReLU()
    cases = [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 3, 3)), 0),
        (nn.Sequential(act, nn.Conv2d(1, 2, 3), act, nn.BatchNorm2d(2)), 1),
        (nn.Sequential(shared, nn.BatchNorm2d(1), shared), 1),
        (nn.Sequential(nn.Conv2d(1, 1, 3), norm, norm), 1),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)), 1),
        (nn.Sequential(Sum(), nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)), 1),
        (Sum(), 1),
    ]
    for model, left in cases:
        faster = folded(trained(model))
        assert norms(faster) == left
        torch.testing.assert_close(faster(images(4)), model(images(4)), rtol=1e-5, atol=1e-5)
    model = trained(Wider(width=4))
    assert norms(folded(model)) == norms(model)


@pytest.mark.parametrize("count", [1, 4, 11])
def test_a_row_is_the_same_to_the_bit_wherever_it_is(count):
    torch.manual_seed(0)
    model = FixedBatch(ResNet(width=4).eval(), 4)
    x = torch.rand(12, 1, 32, 32)
    chosen = torch.randperm(12)[:count]

    def ask(images):
        images = images.clone().requires_grad_(True)
        logits = model(images)
        return logits.detach(), torch.autograd.grad(logits.square().sum(), images)[0]

    for whole, part in zip(ask(x), ask(x[chosen]), strict=True):
        assert torch.equal(whole[chosen], part)


class Batches(nn.Module):
    """Remembers the shapes that it is asked with."""

    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(1024, 3), []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        return self.linear(x.flatten(1)).square()


@pytest.mark.parametrize("rows", [1, 5, 8, 9, 20])
def test_every_pass_has_the_same_shape(rows):
    model, x = Batches(), torch.rand((rows, 1, 32, 32), generator=torch.Generator().manual_seed(1))
    point, reference = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    logits, expected = FixedBatch(model, 8)(point), model(reference)
    assert set(model.seen[:-1]) == {(8, 1, 32, 32)}
    assert len(model.seen) - 1 == -(-rows // 8)
    torch.testing.assert_close(logits, expected)
    gradients = [torch.autograd.grad(y.sum(), p)[0] for y, p in ((logits, point), (expected, reference))]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("wrap", [Watched, lambda model: Scaled(model, 2.0), CountingModel])
@pytest.mark.parametrize("training", [True, False])
def test_wrapping_a_model_leaves_the_modes_of_its_parts(wrap, training):
    # As of a network in training whose batch norm is frozen.
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten()).train(training)
    model[1].train(not training)
    wrapped = wrap(model)
    assert wrapped.training == model.training == model[0].training == training
    assert model[1].training != training


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_are_remembered(bad):
    class Breaks(nn.Module):
        def forward(self, x):
            sums = x.flatten(1)[:, :3]
            return torch.where(sums > 1, bad, sums)

    watched = Watched(Breaks())
    assert not watched.met()
    x = torch.rand(4, 1, 2, 2, requires_grad=True)
    assert torch.equal(watched(x), x.flatten(1)[:, :3])
    assert not watched.met()
    y = x.detach().clone()
    y[2, 0, 0, 1] = 2.0
    y.requires_grad_()
    logits = watched(y)
    assert torch.equal(logits[[0, 1, 3]], y.flatten(1)[[0, 1, 3], :3])
    assert not logits[2].any()
    (gradient,) = torch.autograd.grad(logits.sum(), y)
    assert not gradient[2].any()
    assert gradient[0].any()
    watched(x)
    assert watched.met()
