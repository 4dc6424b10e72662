import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neuroreg.training.descent import Descent
from neuroreg.training.networks import ResNet

RATES = (0.1, 0.1, 0.03, 0.1)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ResNet(width=4).to(memory_format=torch.channels_last)


def learn(model, forget, step):
    """Some steps of a classifier; its last linear layer rests in the first one."""
    generator = torch.Generator().manual_seed(1)
    for number, rate in enumerate(RATES):
        x, y = torch.rand((6, 1, 32, 32), generator=generator), torch.arange(6)
        forget()
        F.cross_entropy(model(x), y).backward()
        if number == 0:
            model.linear.weight.grad = model.linear.bias.grad = None
        step(rate)
    return [parameter.detach().clone() for parameter in model.parameters()]


def by_torch(momentum, weight_decay):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=momentum, weight_decay=weight_decay)

    def step(rate):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()

    return learn(model, optimizer.zero_grad, step)


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 0.0), (0.9, 0.01), (0.0, 0.01)])
def test_steps_are_those_of_torch_to_the_bit(momentum, weight_decay):
    model = network()
    descent = Descent(model.parameters(), momentum=momentum, weight_decay=weight_decay)
    found = learn(model, descent.forget_gradients, descent.step)
    for ours, theirs in zip(found, by_torch(momentum, weight_decay), strict=True):
        assert torch.equal(ours, theirs)


def test_a_restored_descent_goes_on_as_it_would_have():
    def one():
        weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        return weight, Descent([weight], momentum=0.9, weight_decay=0.0)

    def step(weight, descent):
        descent.forget_gradients()
        weight.pow(4).sum().backward()
        descent.step(0.01)

    weight, descent = one()
    step(weight, descent)
    other, restored = one()
    other.data.copy_(weight)
    restored.restore(descent.state())
    step(weight, descent)
    step(other, restored)
    assert torch.equal(weight, other)


ALONE = """
import sys
import numpy as np
from neuroreg.training.run import train
from neuroreg.training.settings import TrainingSettings
images = np.zeros((20, 32, 32), dtype=np.uint8)
train(images, np.arange(20) % 2, 2, settings=TrainingSettings(epochs=1, width=2, batch_size=4), seed=1)
sys.exit("torch._dynamo" in sys.modules)
"""


def test_a_training_imports_nothing_of_torch_compile():
    subprocess.run([sys.executable, "-c", ALONE], check=True, timeout=300, env=os.environ)
