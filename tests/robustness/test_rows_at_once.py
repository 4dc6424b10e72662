import numpy as np
import pytest
import torch
from attack_problems import balanced_network
from make_believe_gpu import MakeBelieveGpu
from torch import nn

from neuroreg.files.resume import ResumeFile
from neuroreg.robustness.evaluation import to_input
from neuroreg.robustness.minimal_distance import search
from neuroreg.robustness.rows_at_once import COPIES, bytes_of_a_row, rows_at_once
from neuroreg.training.networks import ResNet

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SHAPE = (1, 32, 32)


def test_a_number_is_taken_as_it_is_and_the_cpu_has_its_own():
    model = ResNet(width=4).eval()
    assert rows_at_once(7, model, SHAPE, CPU, 3) == 7
    assert rows_at_once("auto", model, SHAPE, CPU, 3) == rows_at_once("auto", model, SHAPE, CPU, 999) == 64
    with MakeBelieveGpu():
        assert rows_at_once(7, model, SHAPE, CUDA, 3) == 7


def test_what_a_row_keeps_is_known_of_a_chain():
    # A sigmoid keeps its output, a linear layer its input for the weights; in between they are the same.
    chain = nn.Sequential(nn.Flatten(), nn.Linear(1024, 50), nn.Sigmoid(), nn.Linear(50, 10), nn.Sigmoid())
    for parameter in chain.parameters():
        parameter.requires_grad_(True)
    found = bytes_of_a_row(chain, SHAPE, CPU)
    assert found in (4 * (50 + 10), 4 * (1024 + 50 + 10))
    with MakeBelieveGpu():
        assert bytes_of_a_row(chain.to("cuda"), SHAPE, CUDA) == found
    chain.to("cpu")


def test_wider_networks_keep_more():
    narrow, wide = (bytes_of_a_row(ResNet(width=width).eval(), SHAPE, CPU) for width in (4, 8))
    assert 1.9 * narrow < wide < 2.1 * narrow


@pytest.mark.parametrize("free", [10_000_000, 100_000_000, 1_000_000_000])
def test_a_gpu_takes_what_a_quarter_of_its_memory_holds(free):
    model = ResNet(width=4).eval()
    each = 2 * bytes_of_a_row(model, SHAPE, CPU) + COPIES * 1024 * 8
    with MakeBelieveGpu(free=free):
        model.to("cuda")
        rows = rows_at_once("auto", model, SHAPE, CUDA, 10_000)
        assert rows_at_once("auto", model, SHAPE, CUDA, 2) == min(rows, 2)
    assert rows * each <= free / 4 or rows == 1
    assert (rows + 1) * each > free / 4


class Ending(nn.Module):
    """A network that ends the process, as it were, at one of its passes."""

    def __init__(self, network, passes=None):
        super().__init__()
        self.network, self.left = network, passes

    def forward(self, x):
        if self.left is not None and torch.is_grad_enabled() and len(x) == 3:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.network(x)


def test_a_search_whose_memory_has_changed_goes_on(tmp_path, caplog):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 4, 4), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    network, labels = balanced_network(to_input(images))

    def searched(batch_size, device, passes=None, resume=None):
        return search(
            Ending(network, passes), images, labels.numpy(), np.arange(6),
            method="ddn", settings=[{"steps": 20}], repetitions=2, seed=1, batch_size=batch_size,
            device=device, resume=resume, save_every=0.0,
        )  # fmt: skip

    expected = searched(64, CPU)
    assert searched("auto", CPU).distance["l2"].tobytes() == expected.distance["l2"].tobytes()
    each = 2 * bytes_of_a_row(network, SHAPE, CPU) + COPIES * 1024 * 8
    with MakeBelieveGpu(free=int(4 * 3.5 * each)) as gpu:  # three rows
        with pytest.raises(KeyboardInterrupt):
            searched("auto", CUDA, passes=30, resume=ResumeFile(tmp_path / "state.safetensors"))
        gpu.free = int(4 * 5.5 * each)
        with caplog.at_level("INFO"):
            found = searched("auto", CUDA, resume=ResumeFile(tmp_path / "state.safetensors"))
    assert "going on after 1 batches" in caplog.text
    assert found.verified.all()
    np.testing.assert_allclose(found.distance["l2"], expected.distance["l2"], rtol=1e-3)
    network.to("cpu")
