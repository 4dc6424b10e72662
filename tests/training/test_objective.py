import math

import numpy as np
import pytest
import torch

from neuroreg.training.objective import EPSILON, SimilarityReadout, fisher_z, similarity_loss


def test_fisher_z_is_arctanh_and_the_log_ratio_twice_that():
    similarity = torch.linspace(-0.95, 0.95, 39, dtype=torch.float64)
    expected = np.arctanh(similarity.numpy())
    np.testing.assert_allclose(fisher_z(similarity, "formula"), expected, atol=2e-4)
    np.testing.assert_allclose(fisher_z(similarity, "log_ratio"), 2 * expected, atol=4e-4)


def test_fisher_z_stays_finite_at_the_ends():
    ends = torch.tensor([-1.0, 1.0])
    bound = 0.5 * math.log((2 + EPSILON) / EPSILON)
    torch.testing.assert_close(fisher_z(ends), torch.tensor([-bound, bound]))


def test_loss_of_the_log_ratio_is_four_times_the_formula():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 30, generator=generator) * 1.8 - 0.9
    ratio = similarity_loss(first, second, "log_ratio") / similarity_loss(first, second, "formula")
    assert ratio.item() == pytest.approx(4, rel=1e-5)


def test_loss_gradient_agrees_with_finite_differences():
    target = torch.tensor([0.1, -0.4, 0.7], dtype=torch.float64)
    predicted = torch.tensor([0.3, 0.2, -0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: similarity_loss(s, target), predicted)


def slow_similarity(features, means, gamma):
    """Pair by pair and layer by layer, in NumPy."""
    pairs = features[0].shape[0] // 2
    result = np.zeros(pairs)
    for pair in range(pairs):
        for layer, feature in enumerate(features):
            first = (feature[pair] - means[layer][:, None, None]).ravel()
            second = (feature[pairs + pair] - means[layer][:, None, None]).ravel()
            cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
            result[pair] += gamma[layer] * cosine
    return result


def test_readout_against_a_slow_version_over_two_batches():
    rng = np.random.default_rng(3)
    readout = SimilarityReadout((2, 3), decay=0.9)
    logits = np.array([0.4, -1.0])
    with torch.no_grad():
        readout.gamma_logits.copy_(torch.from_numpy(logits))
    gamma = np.exp(logits) / np.exp(logits).sum()
    means = [np.zeros(2), np.zeros(3)]
    for _ in range(2):
        features = [rng.normal(1, 2, (6, 2, 4, 5)), rng.normal(-1, 1, (6, 3, 2, 2))]
        means = [0.9 * m + 0.1 * f.mean((0, 2, 3)) for m, f in zip(means, features, strict=True)]
        similarity = readout([torch.from_numpy(f) for f in features])
        np.testing.assert_allclose(
            similarity.detach().numpy(), slow_similarity(features, means, gamma), atol=1e-5
        )


def test_evaluation_leaves_the_running_means_alone():
    readout = SimilarityReadout((2,)).eval()
    readout([torch.ones(4, 2, 3, 3)])
    assert readout.running_mean_0.tolist() == [0, 0]


def test_gamma_starts_equal():
    torch.testing.assert_close(SimilarityReadout((1,) * 5).gamma, torch.full((5,), 0.2))


def test_gradient_reaches_features_and_gamma():
    torch.manual_seed(0)
    readout = SimilarityReadout((2, 2)).double().eval()
    features = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def loss(x, logits):
        readout.gamma_logits.data.copy_(logits.data)
        per_layer = readout([x, x**2])
        return similarity_loss(per_layer, torch.zeros_like(per_layer))

    loss(features, readout.gamma_logits).backward()
    step, slopes = 1e-2, []
    for layer in range(2):
        shifted = []
        for sign in (1, -1):
            logits = torch.zeros(2, dtype=torch.float64)
            logits[layer] = sign * step
            shifted.append(loss(features.detach(), logits).item())
        slopes.append((shifted[0] - shifted[1]) / (2 * step))
    np.testing.assert_allclose(readout.gamma_logits.grad, slopes, rtol=1e-2, atol=1e-4)
    assert features.grad.abs().sum() > 0
