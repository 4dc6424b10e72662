"""VGG features on a GPU, make-believe and real."""

import numpy as np
import torch
import torchvision

from neuroreg.similarity.features import VggWeights, vgg_features


def test_features_are_those_of_the_cpu(any_gpu):
    torch.manual_seed(0)
    state = torchvision.models.vgg19(weights=None, init_weights=False).features[:12].state_dict()
    weights = VggWeights({f"features.{name}": tensor for name, tensor in state.items()}, "random", "")
    images = np.random.default_rng(0).integers(0, 256, (5, 36, 64), np.uint8)
    with any_gpu() as gpu:
        found = vgg_features(images, weights, device="cuda", batch_size=3)
    assert not gpu.counts.tf32
    # Colours' mean and deviation once, images there and features back per batch.
    assert gpu.counts.waits.total() <= 10 + 2 + 2 * 2, gpu.counts
    np.testing.assert_allclose(found, vgg_features(images, weights), rtol=1e-4, atol=1e-4)
