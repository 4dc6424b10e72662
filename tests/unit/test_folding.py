import copy

import pytest
import torch
from torch import nn

from neuroreg.networks import ResNet
from neuroreg.robustness.folding import folded


@pytest.fixture(params=["resnet18", "resnet34"])
def model(request):
    """A network whose batch norms do something."""
    torch.manual_seed(0)
    model = ResNet(request.param, width=4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model


def test_logits_and_gradients_are_those_of_the_model(model):
    other = folded(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in other.modules())
    x = torch.rand(5, 1, 32, 32)
    logits, gradients = [], []
    for network in (model.eval(), other):
        point = x.clone().requires_grad_(True)
        logits.append(network(point))
        gradients.append(torch.autograd.grad(logits[-1].square().sum(), point)[0])
    for one, two in (logits, gradients):
        assert (one - two).abs().max() < 1e-5 * one.abs().max()


def test_the_model_stays_as_it_was(model):
    model.train()
    before = copy.deepcopy(model.state_dict())
    folded(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Reversed(nn.Module):
    """Applies its batch norm before its convolution, under names that say otherwise."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, x):
        return self.conv1(self.bn1(x))


class Twice(nn.Sequential):
    """Uses one batch norm in two places."""

    def __init__(self):
        norm = nn.BatchNorm2d(2)
        super().__init__(nn.Conv2d(1, 2, 3), norm, nn.Conv2d(2, 2, 3), norm)


@pytest.mark.parametrize("kind", [Reversed, Twice])
def test_what_cannot_be_proved_to_follow_is_left_alone(kind):
    torch.manual_seed(0)
    model = kind().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 1.0
            module.running_var *= 3.0
    x = torch.rand(3, 1, 8, 8)
    other = folded(model)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in other.modules()) == 1
    torch.testing.assert_close(other(x), model(x))
