import pytest
import torch
import torchvision
from torch.nn import functional as F

from neuroreg.training.networks import BasicBlock, ResNet


def test_features_have_the_papers_shapes():
    features = ResNet("resnet18", width=4).features(torch.rand(2, 1, 32, 32))
    assert [tuple(f.shape[1:]) for f in features] == [
        (4, 32, 32),
        (4, 32, 32),
        (8, 16, 16),
        (16, 8, 8),
        (32, 4, 4),
    ]


def test_stimuli_go_through_uncropped():
    features = ResNet("resnet18", width=4).features(torch.rand(2, 1, 36, 64))
    assert tuple(features[-1].shape[2:]) == (5, 8)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34"])
def test_trunk_equals_torchvisions_with_the_first_layer_replaced(architecture):
    torch.manual_seed(0)
    ours = ResNet(architecture, width=64).eval()
    theirs = getattr(torchvision.models, architecture)(num_classes=10)
    theirs.conv1 = torch.nn.Conv2d(1, 64, 7, 1, 3, bias=False)
    theirs.maxpool = torch.nn.Identity()
    # Same architecture, so the weights correspond one to one in order of definition.
    ours_state, theirs_state = ours.state_dict(), theirs.state_dict()
    assert [v.shape for v in ours_state.values()] == [v.shape for v in theirs_state.values()]
    theirs.load_state_dict(dict(zip(theirs_state, ours_state.values(), strict=True)))
    images = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs.eval()(5 * (images - 0.5)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("architecture", "blocks"), [("resnet18", 8), ("resnet34", 16)])
def test_layer_numbers_count_convolutions(architecture, blocks):
    model = ResNet(architecture, width=4)
    counts = [1]
    for section in model.sections:
        counts.append(counts[-1] + 2 * len(section))
    assert tuple(counts) == model.layer_names
    assert counts[-1] == 1 + 2 * blocks


@pytest.mark.parametrize("stride", [1, 2])
def test_a_shortcut_is_a_strided_convolution(stride):
    # With a gradient on 36x64 images of 8 channels, where a strided 1x1 convolution crashes on some machines.
    torch.manual_seed(0)
    block = BasicBlock(8, 16, stride).eval()
    images = torch.randn(3, 8, 36, 64).contiguous(memory_format=torch.channels_last).requires_grad_()
    block(images).sum().backward()
    with torch.no_grad():
        kernel = torch.zeros(16, 8, 3, 3)
        kernel[:, :, 1, 1] = block.shortcut[0].weight[:, :, 0, 0]
        plain = block.shortcut[1](F.conv2d(images, kernel, stride=stride, padding=1))
        inner = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(images)))))
        expected = F.relu(inner + plain)
    torch.testing.assert_close(block(images), expected)
    assert images.grad.isfinite().all()
