import subprocess
import sys
from pathlib import Path

import pytest
import torch
from make_believe_gpu import MakeBelieveGpu

from neuroreg.devices import Recorded, choose_device, send
from neuroreg.errors import InputError

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from make_believe_gpu import MakeBelieveGpu
from neuroreg.devices import choose_device
with MakeBelieveGpu(devices=3):
    device = choose_device("cuda", "0,2")
    assert choose_device("cuda", "0,2") == device  # asked again, it holds no other
    print(device.index, flush=True)
    sys.stdin.read()
"""


def test_the_cpu_needs_nothing():
    assert choose_device("cpu", "0,1") == torch.device("cpu")


def test_gpus_that_are_not_there_are_named(monkeypatch):
    with MakeBelieveGpu(devices=2):
        assert choose_device("cuda") == torch.device("cuda", 0)
        assert choose_device("cuda", "1") == torch.device("cuda", 1)
        assert torch.ones(1, device="cuda").device.index == 1
        with pytest.raises(InputError, match=r"'devices': found 2, but torch sees 2 CUDA devices; .* 0 to 1"):
            choose_device("cuda", "0,2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="'device': found 'cuda', but torch sees no CUDA device"):
        choose_device("cuda")


def test_processes_spread_over_the_gpus_and_take_what_becomes_free(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", HOLDER, str(Path(__file__).parent / "helpers")]
    holders = []

    def hold():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        holders.append(subprocess.Popen(command, **pipes))
        return int(holders[-1].stdout.readline())

    try:
        assert [hold() for _ in range(4)] == [0, 2, 0, 2]
        holders[1].kill()
        holders[1].wait()
        assert hold() == 2
        assert hold() == 0
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_sent_arrives(device):
    tensor = torch.arange(6).view(2, 3)
    with MakeBelieveGpu() as gpu:
        sent = send(tensor, torch.device(device))
        assert sent.device.type == device
        assert not gpu.take().waits
        assert sent.tolist() == tensor.tolist()


def scaled(factor, x, y):
    return factor * x + y, x.sum(dim=0)


def test_what_is_recorded_does_what_the_function_does(any_gpu):
    rng = torch.Generator().manual_seed(0)
    with any_gpu():
        run = Recorded()
        # Other arguments and other shapes are other recordings; what was given stays as it is.
        for factor, rows in ((2.0, 3), (2.0, 3), (5.0, 3), (2.0, 7), (2.0, 3), (5.0, 3)):
            x, y = (torch.randn((rows, 4), generator=rng) for _ in range(2))
            there = x.to("cuda"), y.to("cuda")
            for found, expected in zip(run(scaled, factor, *there), scaled(factor, x, y), strict=True):
                torch.testing.assert_close(found.cpu(), expected)
            assert torch.equal(there[0].cpu(), x)
    assert all(map(torch.equal, run(scaled, 2.0, x, y), scaled(2.0, x, y)))


def asking(x):
    return (x * x.sum().item(),)


def test_what_cannot_be_recorded_is_told_and_done_nevertheless(caplog):
    x = torch.arange(4.0)
    with MakeBelieveGpu():
        run = Recorded()
        for _ in range(2):
            assert torch.equal(run(asking, x.to("cuda"))[0].cpu(), 6 * x)
    assert caplog.text.count("does not record a CUDA graph") == 1
