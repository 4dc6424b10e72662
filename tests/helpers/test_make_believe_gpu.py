"""The make-believe GPU against what CUDA does: a new torch that breaks it is noticed here."""

import copy

import numpy as np
import pytest
import torch
from make_believe_gpu import MakeBelieveGpu
from torch import nn

from neuroreg.robustness.evaluation import require_finite

CUDA = torch.device("cuda:0")


@pytest.fixture
def gpu():
    with MakeBelieveGpu() as gpu:
        yield gpu


def test_tensors_say_where_they_are(gpu):
    x, y = torch.ones(3, 4, device="cuda"), torch.ones(3, 4)
    assert x.device == CUDA
    assert x.is_cuda
    assert not x.is_cpu
    assert not y.is_cuda
    for on_gpu in (
        x[1:].T,
        x + 1,
        x * torch.tensor(2.0),
        torch.zeros_like(x),
        x.double(),
        y.to(x),
        y.cuda(),
        y.to("cuda", torch.float16),
        torch.as_tensor(np.ones(2), device="cuda"),
        torch.arange(3, device="cuda"),
        x.new_zeros(2),
        x.new_tensor([1.0]),
        copy.deepcopy(x),
    ):
        assert on_gpu.device == CUDA
    assert x.to("cpu").device.type == x.cpu().device.type == "cpu"
    assert y.to("cuda", torch.float16).dtype == torch.float16
    assert x.get_device() == 0


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda x, y: x + y, RuntimeError, "two devices, cuda:0 and cpu"),
        (lambda x, y: y + x.sum(), RuntimeError, "two devices"),
        (lambda x, y: torch.cat([x, y]), RuntimeError, "two devices"),
        (lambda x, y: x @ y.T, RuntimeError, "two devices"),
        (lambda x, y: y.add_(x), RuntimeError, "two devices"),
        (lambda x, y: torch.nn.functional.linear(y, x), RuntimeError, "two devices"),
        (lambda x, y: y[x[:, 0].long()], RuntimeError, "indices should be"),
        (lambda x, y: x.numpy(), TypeError, "can't convert cuda:0"),
        (lambda x, y: np.asarray(x), TypeError, "can't convert cuda:0"),
        (lambda x, y: x.pin_memory(), RuntimeError, "cannot pin"),
        (
            lambda x, y: torch.randn(2, device="cuda", generator=torch.Generator()),
            RuntimeError,
            "'cuda' device type for generator",
        ),
        (lambda x, y: x.cpu().to("cuda:1"), RuntimeError, "invalid device ordinal"),
        (lambda x, y: x.to("cpu", non_blocking=True), AssertionError, "before it arrives"),
    ],
)
def test_what_cuda_refuses(gpu, act, error, message):
    x, y = torch.ones(3, 4, device="cuda"), torch.ones(3, 4)
    with pytest.raises(error, match=message):
        act(x, y)


# Waits and launches, by torch's CUDA sources.
@pytest.mark.parametrize(
    ("act", "waits", "launches"),
    [
        (lambda x, y: x[:, 1:].T.unsqueeze(0), 0, 0),
        (lambda x, y: x + 1, 0, 1),
        (lambda x, y: y + 1, 0, 0),
        (lambda x, y: x.sum().item(), 1, 1),
        (lambda x, y: bool(x[0, 0] > 0), 1, 1),
        (lambda x, y: torch.isfinite(x).all().item(), 1, 5),  # (x == x) * (abs(x) != inf), all
        (lambda x, y: x.tolist(), 1, 1),
        (lambda x, y: x[x > 0], 1, 6),
        (lambda x, y: x.nonzero(), 1, 4),
        (lambda x, y: x[torch.tensor([0, 1])], 1, 1),
        (lambda x, y: x[torch.zeros(1, dtype=torch.long, device="cuda")], 0, 2),
        (lambda x, y: torch.where(x > 0, x, 0.0), 0, 3),
        (lambda x, y: torch.where(x > 0, x, torch.tensor(0.0)), 1, 2),
        (lambda x, y: x.__setitem__(slice(1), 2.0), 0, 1),
        (lambda x, y: x.__setitem__(x > 0, 2.0), 0, 2),
        (lambda x, y: y.cuda(), 1, 1),
        (lambda x, y: y.to("cuda", non_blocking=True), 1, 1),
        (lambda x, y: y.pin_memory().to("cuda", non_blocking=True), 0, 1),
        (lambda x, y: y.copy_(x), 1, 1),
        (lambda x, y: torch.tensor([1.0], device="cuda"), 1, 1),
        (lambda x, y: torch.bincount(x[0].long()), 2, 5),
        (lambda x, y: torch.cuda.synchronize(), 1, 0),
    ],
)
def test_waits_and_launches(gpu, act, waits, launches):
    x, y = torch.ones(3, 4, device="cuda"), torch.ones(3, 4)
    gpu.take()
    act(x, y)
    found = gpu.take()
    assert (found.waits.total(), found.launches.total()) == (waits, launches), f"{found}\n{found.launches}"


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_a_network_trains_there(gpu, kind):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    weight = net[0].weight
    net.to("cuda")
    assert net[0].weight is weight
    assert weight.is_cuda
    assert net[1].running_mean.is_cuda
    with pytest.raises(RuntimeError, match="two devices"):
        net(torch.zeros(2, 1, 4, 4))
    optimizer = kind(net.parameters(), 0.1)
    before = weight.detach().clone()
    for _ in range(2):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            out = net(torch.rand(2, 1, 4, 4, device="cuda"))
        assert out.dtype == torch.bfloat16
        optimizer.zero_grad()
        out.float().square().sum().backward()
        optimizer.step()
    assert weight.grad.is_cuda
    assert not torch.equal(weight, before)
    # All parameters at once, as on CUDA.
    assert any(name.startswith("_foreach") for name in gpu.counts.launches)


def test_gradients_cross_devices(gpu):
    leaf = torch.ones(2, requires_grad=True)
    (leaf.cuda() * 2).sum().backward()
    assert not leaf.grad.is_cuda
    assert leaf.grad.tolist() == [2, 2]


def test_a_graph_does_again_what_was_recorded(gpu):
    x = torch.arange(6.0, device="cuda").view(2, 3)
    graph = torch.cuda.CUDAGraph()
    gpu.take()
    with torch.cuda.graph(graph):
        doubled = (x * 2)[:, 1:]
        total = torch.zeros(2, device="cuda")
        total += doubled.sum(dim=1)
        order = x.sort(dim=1, descending=True)[1]
    assert gpu.take().launches.total() == 0
    x.copy_(torch.tensor([[5.0, 4.0, 3.0], [0.0, 1.0, 9.0]], device="cuda"))
    gpu.take()
    graph.replay()
    assert gpu.take().launches == {"graph": 1}
    assert doubled.tolist() == [[8, 6], [2, 18]]
    assert total.tolist() == [14, 20]
    assert order.tolist() == [[0, 1, 2], [2, 1, 0]]
    with pytest.raises(RuntimeError, match="capturing"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        x.sum().item()


def test_short_mantissas_are_told(gpu):
    x, kernel = torch.ones(1, 1, 4, 4, device="cuda"), torch.ones(1, 1, 3, 3, device="cuda")
    for allowed in (True, False):
        with torch.backends.cudnn.flags(allow_tf32=allowed):
            torch.nn.functional.conv2d(x, kernel)
        assert gpu.take().tf32.total() == int(allowed)


def test_several_gpus():
    with MakeBelieveGpu(devices=2):
        first, second = torch.ones(2, device="cuda"), torch.ones(2, device="cuda:1")
        assert (first.device.index, second.device.index) == (0, 1)
        with pytest.raises(RuntimeError, match="cuda:1 and cuda:0"):
            first + second
        assert (first.to("cuda:1") + second).device.index == 1
        torch.cuda.set_device(1)
        assert torch.ones(2, device="cuda").device.index == 1


def test_afterwards_all_is_as_before():
    available = torch.cuda.is_available()
    with MakeBelieveGpu():
        assert torch.cuda.is_available()
    assert torch.cuda.is_available() == available
    assert torch.zeros(1).device.type == "cpu"


def test_a_wait_is_put_down_to_its_line(gpu):
    require_finite(torch.ones(2, 3, device="cuda"))
    ((line, reason),) = gpu.counts.waits
    assert line.startswith("robustness/evaluation.py:")
    assert reason == "_local_scalar_dense"
