import numpy as np
import pytest
import torch
from torch import nn

from neuroreg.robustness.attack_result import NORMS
from neuroreg.robustness.black_box import random_search

CPU = torch.device("cpu")
SIZES = {
    "l0": [1, 7, 300, 1024],
    "l1": [0.3, 4, 60, 400],
    "l2": [0.1, 0.7, 5, 20],
    "linf": [0.001, 0.1, 0.4, 1],
}
ORDERS = {"l0": 0, "l1": 1, "l2": 2, "linf": np.inf}


class Recorder(nn.Module):
    """Keeps what it is asked; never fooled."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.clone())
        value = x.flatten(1).sum(dim=1)
        return torch.stack([value * 0 + 1e4, value], dim=1)


class Brightness(nn.Module):
    """Class 1 where the mean of the left half is above 0.5."""

    def forward(self, x):
        excess = x[..., :16].mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([torch.zeros_like(excess), excess], dim=1)


def ask(model, norm, sizes, clean=None, batch_size=4, rows=slice(None), queries=30):
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(4, 1, 32, 32, generator=generator) if clean is None else clean
    return random_search(
        model,
        clean[rows],
        torch.zeros(4, dtype=torch.int64)[rows],
        np.array(sizes, dtype=float)[rows],
        norm,
        queries=queries,
        seeds=np.arange(4)[rows],
        batch_size=batch_size,
        device=CPU,
    )


@pytest.mark.parametrize("norm", NORMS)
def test_every_query_lies_within_the_distance_and_the_box(norm):
    model = Recorder()
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(4, 1, 32, 32, generator=generator)
    found = ask(model, norm, SIZES[norm])
    assert torch.isnan(found).all()
    assert len(model.seen) == 30
    seen = torch.stack(model.seen).double()
    assert seen.min() >= 0
    assert seen.max() <= 1
    difference = (seen - clean.double()).flatten(2).numpy()
    sizes = np.linalg.norm(difference, ORDERS[norm], axis=2)
    assert (sizes <= np.array(SIZES[norm]) * (1 + 1e-5) + 1e-7).all()
    assert (sizes[:, :2].max(axis=0) >= 0.9 * np.array(SIZES[norm])[:2]).all()
    # Squares may repeat, little else.
    assert len(np.unique(difference[:, 2], axis=0)) >= 27


@pytest.mark.parametrize("norm", NORMS)
def test_finds_what_is_easy_and_nothing_nearer_than_the_boundary(norm):
    clean = torch.full((4, 1, 32, 32), 0.45)
    # The left half's mean has to rise by 0.05: 512 * 0.05 in L1, and so on; L0 at least 512 * 0.05 / 0.55.
    least = {"l0": 47, "l1": 25.6, "l2": 0.05 * 512**0.5, "linf": 0.05}[norm]
    assert torch.isnan(ask(Brightness(), norm, [0.98 * least] * 4, clean)).all()
    found = ask(Brightness(), norm, [(20 if norm == "l0" else 6) * least] * 4, clean)
    assert torch.isfinite(found).flatten(1).all(dim=1).sum() >= 3
    held = found[torch.isfinite(found).flatten(1).all(dim=1)]
    assert (Brightness()(held).argmax(dim=1) == 1).all()


@pytest.mark.parametrize("norm", NORMS)
def test_neither_batches_nor_other_images_matter(norm):
    clean = torch.full((4, 1, 32, 32), 0.45)
    sizes = [{"l0": 300, "l1": 100.0, "l2": 4.0, "linf": 0.2}[norm]] * 4
    together = ask(Brightness(), norm, sizes, clean)
    batched = ask(Brightness(), norm, sizes, clean, batch_size=1)
    assert torch.equal(batched.nan_to_num(-1), together.nan_to_num(-1))
    alone = ask(Brightness(), norm, sizes, clean, rows=slice(2, 3))
    assert torch.equal(alone.nan_to_num(-1), together[2:3].nan_to_num(-1))
