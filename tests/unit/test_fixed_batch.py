import pytest
import torch

from neuroreg.networks import ResNet
from neuroreg.robustness.fixed_batch import FixedBatch


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


def test_the_model_sees_one_shape_alone():
    shapes = []

    def model(x):
        shapes.append(tuple(x.shape))
        return x.sum(dim=(1, 2, 3))[:, None]

    class Model(torch.nn.Module):
        forward = staticmethod(model)

    x = torch.rand(7, 1, 3, 3)
    assert torch.equal(FixedBatch(Model(), 3)(x), x.sum(dim=(1, 2, 3))[:, None])
    assert shapes == [(3, 1, 3, 3)] * 3
