"""What every stronger attack is asked: small problems, and properties that all of them share."""

from functools import cache

import numpy as np
import torch
from attack_problems import CPU, linear_model, run_attack, smooth_logits, smooth_network
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neuroreg.robustness.attacks.registry import complete_setting, find_method
from neuroreg.robustness.evaluation import evaluation, predict, to_input
from neuroreg.robustness.minimal_distance import search
from neuroreg.robustness.verification import measure, verify

NORM = {0: "l0", 1: "l1", 2: "l2", np.inf: "linf"}


@cache
def trained_digits() -> tuple[nn.Module, np.ndarray, np.ndarray, np.ndarray]:
    """Return a small network trained on 8x8 digits, test images, their labels, and 8 that it gets right."""
    digits = load_digits()
    images, labels = np.uint8(digits.images * 255 / 16), digits.target
    inputs, targets = to_input(images), torch.from_numpy(labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1)]
        model = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
        optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
        for _ in range(4):
            for batch in torch.randperm(1500).split(50):
                loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    images, labels = images[1500:], labels[1500:]
    right = predict(model, to_input(images), batch_size=300, device=CPU).argmax(dim=1).numpy() == labels
    assert right.mean() > 0.8
    return model.eval(), images, labels, np.flatnonzero(right)[:8]


@cache
def mean_distance(method: str, norm: str, repetitions: int = 1, **setting: float) -> float:
    """Return the digits' mean distance, the smallest over repetitions, all of them found and verified."""
    model, images, labels, sample = trained_digits()
    result = search(
        model,
        images[sample],
        labels[sample],
        sample,
        images,
        labels,
        method=method,
        settings=[setting],
        repetitions=repetitions,
        seed=0,
        batch_size=8,
        device=CPU,
    )
    assert result.verified.any(axis=(0, 1)).all()
    return float(result.distance[norm].min(axis=(0, 1)).mean())


def smooth_problem(rows: int = 6) -> tuple[nn.Module, tuple, np.ndarray, np.ndarray]:
    """Return the float64 network of `smooth_network`, its weights, points (rows, 49) and labels."""
    model, weights = smooth_network(1)
    x = np.random.default_rng(2).uniform(-0.3, 1.3, (rows, 49)).clip(0, 1)
    return model, weights, x, np.array([smooth_logits(weights, row)[0].argmax() for row in x])


def margin_of(weights: tuple, point: np.ndarray, label: int) -> tuple[float, np.ndarray]:
    """Return `adversarial_margin` at `point` and its gradient."""
    logits, jacobian = smooth_logits(weights, point)
    rival = np.where(np.arange(len(logits)) == label, -np.inf, logits).argmax()
    margin = logits[rival] - logits[label] - 2e-5 * max(1.0, np.abs(logits).max())
    return margin, jacobian[rival] - jacobian[label]


def linear_ratios(
    method: str, order: float, classes: int, repetition: int = 0, **setting: float
) -> np.ndarray:
    """Return what the attack finds relative to the known minimum of a linear model."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((classes, 256)) * np.exp(0.3 * rng.standard_normal((classes, 256)))
    x = rng.uniform(0.4, 0.6, (6, 256))
    bias = -(weight @ x.mean(axis=0)) + np.r_[1.0, np.zeros(classes - 1)]
    logits = x @ weight.T + bias
    labels = logits.argmax(axis=1)
    images = torch.from_numpy(x).view(6, 1, 16, 16)
    model = linear_model(weight, bias)
    found, queries = run_attack(method, model, images, torch.from_numpy(labels), repetition, **setting)
    assert (model(found).argmax(dim=1).numpy() != labels).all()
    assert (queries > 1).all()
    minima = np.full(6, np.inf)
    for row, label in enumerate(labels):
        for other in set(range(classes)) - {label}:
            plane, gap = weight[other] - weight[label], logits[row, label] - logits[row, other]
            if order == 0:  # the pixels that rise most on their way to the edge
                rise = np.abs(plane) * np.where(plane > 0, 1 - x[row], x[row])
                least = 1 + np.sort(rise)[::-1].cumsum().searchsorted(gap)
            elif order == 1:  # the same by slope, the last one part of the way
                steepest = np.argsort(-np.abs(plane))
                room = np.where(plane > 0, 1 - x[row], x[row])[steepest]
                before = np.r_[0.0, (np.abs(plane)[steepest] * room).cumsum()]
                last = before.searchsorted(gap) - 1
                least = room[:last].sum() + (gap - before[last]) / np.abs(plane)[steepest[last]]
            else:
                least = gap / np.linalg.norm(plane, 1 if order == np.inf else 2)
                assert least < 0.4 or order == 2
            minima[row] = min(minima[row], least)
    return measure(images, found)[NORM[order]].numpy() / minima


def run_rows(method: str, rows, repetition, setting: dict) -> tuple[Tensor, Tensor]:
    """Run some rows of the smooth problem; a repetition or float setting for all, or one for each."""
    model, _, x, labels = smooth_problem()
    images, rows = torch.from_numpy(x).view(-1, 1, 7, 7), torch.as_tensor(rows)
    setting = {
        name: value
        if isinstance(value, int)
        else torch.as_tensor(value, dtype=images.dtype).expand(len(rows))
        for name, value in setting.items()
    }
    with evaluation(model, CPU):
        return find_method(method).load()(
            model,
            images[rows],
            torch.from_numpy(labels)[rows],
            setting=setting,
            repetition=torch.as_tensor(repetition).expand(len(rows)),
            seeds=7 + rows,
        )


def check_rows_are_alone(method: str, name: str, values: tuple[float, float], **setting: float) -> None:
    """Each row ends where it ends by itself: its own repetition, seed and value of the setting `name`."""
    setting = complete_setting(method, setting)
    repetition = torch.tensor([0, 1, 0, 2, 1, 0])
    own = torch.tensor([values[0], values[1]] * 3, dtype=torch.float64)
    together, queries = run_rows(method, range(6), repetition, setting | {name: own})
    assert torch.equal(together, run_rows(method, range(6), repetition, setting | {name: own})[0])
    assert torch.isfinite(together).all()
    assert not torch.isclose(own[0], own[1])
    backwards = list(range(5, -1, -1))
    mirrored, _ = run_rows(method, backwards, repetition[backwards], setting | {name: own[backwards]})
    torch.testing.assert_close(mirrored[backwards], together, rtol=0, atol=1e-7)
    for row in range(6):
        alone, passes = run_rows(method, [row], int(repetition[row]), setting | {name: float(own[row])})
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-7)
        assert passes[0] == queries[row]


def check_repetitions(method: str, **setting: float) -> None:
    """Repetitions and seeds differ; the same seed gives the same bytes; the first repetition has no noise."""
    model, images, labels, sample = trained_digits()
    x, targets = to_input(images[sample]), torch.from_numpy(labels[sample])
    ends = [run_attack(method, model, x, targets, repetition, **setting)[0] for repetition in (0, 1, 2, 1)]
    assert torch.equal(ends[1], ends[3])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(ends[one], ends[other])
    seeds = torch.arange(len(x)) + 9
    other, _ = run_attack(method, model, x, targets, 1, seeds=seeds, **setting)
    assert not torch.equal(other, ends[1])
    first, _ = run_attack(method, model, x, targets, 0, seeds=seeds, **setting)
    assert torch.equal(first, ends[0])


def check_what_is_found(method: str, **setting: float) -> None:
    """Everything found lies in the box, is misclassified and stays so when it is verified."""
    model, images, labels, sample = trained_digits()
    x, targets = to_input(images[sample]), torch.from_numpy(labels[sample])
    found, queries = run_attack(method, model, x, targets, 1, **setting)
    assert found.dtype == torch.float32
    assert found.shape == x.shape
    assert queries.dtype == torch.int64
    assert found.min() >= 0
    assert found.max() <= 1
    assert (model(found).argmax(dim=1) != targets).all()
    outcome = verify(model, x, targets, found, batch_size=3, device=CPU)
    norm = find_method(method).norm
    # Verification undoes the smallest differences.
    ratio = outcome.distance[norm] / measure(x, found)[norm]
    assert ratio.max() < 1 + 1e-5
    assert ratio.min() > 0.99


def check_flat_model_is_given_up(method: str, **setting: float) -> None:
    """Where no pixel matters nothing is found, and nothing breaks."""
    model = linear_model(np.zeros((5, 16)), np.array([1.0, 0.0, 0.0, 0.0, 0.0]))
    x = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    found, _ = run_attack(method, model, x, torch.zeros(2, dtype=torch.int64), 1, **setting)
    assert torch.isnan(found).all()
