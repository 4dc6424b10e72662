import copy

import numpy as np
import pytest
import torch
from tier_problems import almost_on_the_boundary
from torch import nn

from neuroreg.robustness.verification import measure, verify
from neuroreg.training.networks import ResNet

CPU = torch.device("cpu")


class Threshold(nn.Module):
    """Class 1 where the sum of some pixels' excess over a half is positive."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels

    def forward(self, x):
        excess = (x.flatten(1).double()[:, self.pixels] - 0.5).sum(dim=1)
        return torch.stack([torch.zeros_like(excess), excess], dim=1)


def check(clean, candidate, pixels=slice(0, 1), label=0):
    found = verify(
        Threshold(pixels),
        clean.view(1, 1, 32, 32),
        torch.tensor([label]),
        candidate.view(1, 1, 32, 32),
        batch_size=4,
        device=CPU,
    )
    return {norm: float(d) for norm, d in found.distance.items()}, found


def image(level=0.25):
    return torch.full((1024,), level)


def test_norms_are_those_of_the_stored_tensor():
    candidate = image()
    candidate[0], candidate[5] = 0.75, 0.0
    distance, found = check(image(), candidate)
    assert distance == {"l0": 2, "l1": 0.75, "l2": np.hypot(0.5, 0.25), "linf": 0.5}
    assert found.verified.all()
    for tensor in found.adversarial.values():
        assert torch.equal(tensor.flatten(), candidate)


def test_measured_in_float64():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand((2, 3, 1, 32, 32), generator=generator)
    difference = np.abs(a.numpy().astype(np.float64) - b.numpy().astype(np.float64)).reshape(3, -1)
    found = measure(a, b)
    for norm, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", np.inf)):
        assert found[norm].dtype == torch.float64
        np.testing.assert_allclose(found[norm], [np.linalg.norm(d, order) for d in difference], rtol=1e-14)


def test_tiny_differences_are_taken_back():
    candidate = image()
    candidate[0] = 0.75
    candidate[1:] += 9e-7
    distance, found = check(image(), candidate)
    assert distance == {"l0": 1, "l1": 0.5, "l2": 0.5, "linf": 0.5}
    assert int((found.adversarial["l2"].flatten() != image()).sum()) == 1


def test_an_adversarial_made_of_tiny_differences_does_not_hold():
    clean = image()
    clean[0] = 0.5
    candidate = clean.clone()
    candidate[0] += 8e-7
    distance, found = check(clean, candidate)
    assert set(distance.values()) == {np.inf}
    assert not found.verified.any()
    assert all(torch.isnan(tensor).all() for tensor in found.adversarial.values())


def test_a_sample_tipped_back_by_the_snapping_is_pushed_over():
    clean = image(0.5)
    clean[0] = 0.25
    candidate = clean.clone()
    candidate[0] = 0.5 - 5e-5
    candidate[1:101] += 9e-7
    assert (candidate - 0.5).double().sum() > 0
    distance, found = check(clean, candidate, pixels=slice(None))
    assert distance["l0"] == 1
    assert 0.25 < distance["l2"] < 0.25 * 1.0011
    assert (found.adversarial["l2"].double() - 0.5).sum() > 0


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_an_image_next_to_the_boundary_has_a_distance_though_its_least_is_under_what_counts(norm):
    model, clean, labels, least = almost_on_the_boundary()
    assert least["linf"] < 1e-6
    plane = model[1].weight[1] - model[1].weight[0]
    direction = plane / plane.norm() if norm == "l2" else plane.sign()
    candidate = clean + 1.1 * least[norm] * direction.detach().view_as(clean)
    found = verify(model, clean, labels, candidate, batch_size=1, device=CPU)
    for other, distance in found.distance.items():
        tensor = found.adversarial[other]
        assert least.get(other, 0) < distance < np.inf
        assert measure(clean, tensor)[other] == distance
        assert ((tensor == clean) | ((tensor - clean).abs() > 9.9e-7)).all()
        with torch.no_grad():
            assert copy.deepcopy(model).double()(tensor.double()).argmax() != labels
    # A root mean square of 4e-6 at most.
    assert found.distance["l2"] < 4.1e-6 * 32


def test_pixels_under_1e_4_do_not_count_if_the_rest_holds():
    candidate = image()
    candidate[0] = 0.75
    candidate[1:] += 5e-5
    distance, _ = check(image(), candidate)
    assert distance["l0"] == 1
    assert distance["l2"] == 0.5


def test_pixels_under_1e_4_count_if_they_are_needed():
    clean = image(0.5)
    clean[0] = 0.49
    candidate = clean.clone()
    candidate[1:] += 5e-5
    distance, found = check(clean, candidate, pixels=slice(None))
    assert distance["l0"] == 1023
    assert distance["linf"] == pytest.approx(5e-5, rel=1e-2)
    assert torch.equal(found.adversarial["l0"].flatten(), candidate)


def test_pixels_outside_the_box_are_clamped_before_the_model_sees_them():
    candidate = image()
    candidate[0], candidate[1] = 1.5, -0.5
    distance, found = check(image(), candidate)
    assert distance["linf"] == 0.75
    assert distance["l1"] == 1.0
    assert found.adversarial["l1"].min() == 0
    # Outside the box the sum is positive, inside it is not.
    candidate = image()
    candidate[0] = 1.9
    distance, _ = check(image(), candidate, pixels=slice(0, 4))
    assert distance["l2"] == np.inf


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_a_failure(bad):
    candidate = image()
    candidate[0], candidate[9] = 0.75, bad
    distance, found = check(image(), candidate)
    assert set(distance.values()) == {np.inf}
    assert not found.verified.any()


def test_what_the_model_gets_right_is_a_failure():
    candidate = image()
    candidate[3] = 1.0
    distance, _ = check(image(), candidate)
    assert set(distance.values()) == {np.inf}


class Offset(Threshold):
    """The same with both logits larger by 1, so that a lead of e is e of the largest logit."""

    def forward(self, x):
        return 1 + super().forward(x)


@pytest.mark.parametrize(
    ("lead", "push"),
    [(2e-5, 0.0), (0.5e-5, 1e-4), (-1e-5, 1e-4), (-1e-4, 1e-3), (-1e-3, 1e-2), (-1e-2, np.inf)],
)
def test_what_leads_by_a_hundred_thousandth_holds_and_the_rest_is_stretched(lead, push):
    clean = image().view(1, 1, 32, 32)
    candidate = clean.clone()
    candidate[0, 0, 0, 0] = 0.5 + lead
    options = {"batch_size": 4, "device": CPU}
    found = verify(Offset(slice(0, 1)), clean, torch.tensor([0]), candidate, **options)
    for norm in ("l1", "l2", "linf"):
        expected = (0.25 + lead) * (1 + push)
        assert float(found.distance[norm]) == pytest.approx(expected, rel=2e-6)
    # A clean image is taken for what the model says of it, by however little.
    clean[0, 0, 0, 0] = 0.5 + 5e-6
    found = verify(Offset(slice(0, 1)), clean, torch.tensor([0]), candidate, **options)
    assert float(found.distance["l2"]) == 0


def test_a_misclassified_clean_sample_has_distance_0():
    candidate = image()
    candidate[0] = torch.nan
    distance, found = check(image(), candidate, label=1)
    assert set(distance.values()) == {0.0}
    assert found.verified.all()
    assert torch.equal(found.adversarial["l0"].flatten(), image())


def test_rows_do_not_mix():
    clean = image().repeat(3, 1)
    candidates = clean.clone()
    candidates[0, 0], candidates[1, 0], candidates[2, 0] = 0.75, torch.nan, 1.0
    found = verify(
        Threshold(slice(0, 1)),
        clean.view(3, 1, 32, 32),
        torch.zeros(3, dtype=torch.int64),
        candidates.view(3, 1, 32, 32),
        batch_size=2,
        device=CPU,
    )
    assert found.distance["l1"].tolist() == [0.5, torch.inf, 0.75]
    assert found.verified.tolist() == [True, False, True]


def test_the_model_is_asked_in_eval_mode():
    model = nn.Sequential(nn.Dropout(0.5), Threshold(slice(None))).train()
    clean, candidates = image().view(1, 1, 32, 32), image(0.51).view(1, 1, 32, 32)
    for _ in range(5):
        found = verify(model, clean, torch.tensor([0]), candidates, batch_size=1, device=CPU)
        assert float(found.distance["linf"]) == pytest.approx(0.26)
    assert model[0].training


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("column", [0, 1])
def test_where_logits_are_not_finite_nothing_holds(bad, column):
    class Broken(Threshold):
        def forward(self, x):
            logits = super().forward(x)
            changed = (x != clean[0]).flatten(1).any(dim=1)
            spoilt = logits.clone()
            spoilt[:, column] = bad
            return torch.where(changed[:, None] & (x.flatten(1)[:, :1] > 0.7), spoilt, logits)

    clean, model = image().view(1, 1, 32, 32), Broken(slice(0, 1))
    candidates = torch.stack([clean[0], clean[0]])
    candidates[:, 0, 0, 0] = torch.tensor([0.9, 0.65])
    found = verify(
        model, clean.repeat(2, 1, 1, 1), torch.tensor([0, 0]), candidates, batch_size=2, device=CPU
    )
    intact = verify(
        Threshold(slice(0, 1)),
        clean.repeat(2, 1, 1, 1),
        torch.tensor([0, 0]),
        candidates,
        batch_size=2,
        device=CPU,
    )
    assert intact.verified[0]
    assert found.verified.tolist() == [False, bool(intact.verified[1])]


def test_what_holds_in_a_batch_holds_alone():
    """Candidates within rounding of the boundary are judged alike whatever shares their forward pass."""
    torch.manual_seed(0)
    model = ResNet(width=4).eval()
    clean = torch.rand(24, 1, 32, 32)
    with torch.no_grad():
        model.linear.weight *= 100
        # Centred, because all untrained logits name one class.
        model.linear.bias.copy_(-(model(clean) - model.linear.bias).mean(0))
        labels = model(clean).argmax(1)
        other = clean.flip(0).clone()
        # Bisection towards another image ends as near to the boundary as float32 allows.
        low, high = torch.zeros(24, 1, 1, 1), torch.ones(24, 1, 1, 1)
        for _ in range(40):
            middle = (low + high) / 2
            crossed = (model(clean + middle * (other - clean)).argmax(1) != labels)[:, None, None, None]
            high, low = torch.where(crossed, middle, high), torch.where(crossed, low, middle)
        candidates = clean + high * (other - clean)
    options = {"batch_size": 24, "device": torch.device("cpu")}
    together = verify(model, clean, labels, candidates, **options)
    assert together.verified.sum() > 5
    for row in together.verified.nonzero()[:, 0].tolist():
        for norm in ("l0", "l1", "l2", "linf"):
            with torch.no_grad():
                alone = model(together.adversarial[norm][row : row + 1])
                exact = copy.deepcopy(model).double()(together.adversarial[norm][row : row + 1].double())
            assert alone.argmax() != labels[row]
            assert exact.argmax() != labels[row]
