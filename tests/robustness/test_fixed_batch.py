import pytest
import torch
from torch import nn

from neuroreg.robustness.evaluation import FixedBatch
from neuroreg.training.networks import ResNet


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
