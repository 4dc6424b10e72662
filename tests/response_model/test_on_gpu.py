"""Response models on a GPU, make-believe and real: nothing on the wrong device, no waits within steps."""

import numpy as np
import pytest
import torch
from make_believe_gpu import MakeBelieveGpu

from neuroreg.files.resume import ResumeFile
from neuroreg.response_model.fit import _Fit, build_model, fit_response_model
from neuroreg.response_model.model import TILE, _tiles, sample_and_weigh
from neuroreg.response_model.predict import predict_pool, predict_trials
from neuroreg.response_model.settings import FitSettings
from neuroreg.scans.scan import Scan, usable_trials

SETTINGS = FitSettings(channels=2, input_kernel=3, max_epochs=2, contexts=5, batch_size=16)
LAUNCHES = 350  # of a step


@pytest.fixture(scope="module")
def scan():
    rng = np.random.default_rng(0)
    trials, neurons = 120, 12
    images = rng.integers(0, 256, (60, 36, 64), np.uint8)
    return Scan(
        images=images,
        key=np.array([f"c/{i}" for i in range(60)]),
        image=np.arange(trials) % 60,
        tier=np.repeat(["train", "validation", "test"], [80, 20, 20]),
        responses=rng.gamma(2, 1, (trials, neurons)).astype(np.float32),
        behavior=rng.normal(size=(trials, 3)).astype(np.float32),
        pupil_center=rng.normal(size=(trials, 2)).astype(np.float32),
        unit_id=np.arange(neurons),
    )


def test_fit_and_predictions_are_those_of_the_cpu(any_gpu, scan):
    with any_gpu() as gpu:
        fitted = fit_response_model(scan, SETTINGS, seed=1, device="cuda")
        assert fitted.model.response_std.device.type == "cpu"
        model = fitted.model.to("cuda")
        pool, trials = (
            predict_pool(model, scan.images, batch_size=25),
            predict_trials(model, scan, np.arange(9)),
        )
        model.to("cpu")
    assert not gpu.counts.tf32
    expected = fit_response_model(scan, SETTINGS, seed=1)
    rel = 1e-3 if any_gpu.exact else 1e-2
    for name in ("train_loss", "validation_correlation"):
        found = [row[name] for row in fitted.history]
        assert found == pytest.approx([row[name] for row in expected.history], rel=rel, abs=1e-4)
    np.testing.assert_allclose(pool, predict_pool(fitted.model, scan.images), rtol=1e-4)
    np.testing.assert_allclose(trials, predict_trials(fitted.model, scan, np.arange(9)), rtol=1e-4)


def test_an_epoch_waits_once_whatever_its_steps(any_gpu, scan):
    train, _ = usable_trials(scan)
    with any_gpu() as gpu:
        for count in (32, 80):
            trials = train[:count]
            fit = _Fit(build_model(scan, trials, SETTINGS, 1), scan, trials, SETTINGS, "cuda")
            fit.epoch(torch.Generator().manual_seed(1))
            gpu.take()
            fit.epoch(torch.Generator().manual_seed(2))
            epoch = gpu.take()
            assert epoch.waits.total() == 1, epoch  # for its losses
            assert 0 < epoch.launches.total() <= LAUNCHES * gpu.kernels * count / SETTINGS.batch_size, epoch


def test_the_pools_tiles_are_made_once(scan):
    model = build_model(scan, usable_trials(scan)[0], SETTINGS, 1)
    sorts, waits = [], []
    with MakeBelieveGpu() as gpu:
        model.to("cuda")
        for batch_size in (60, 10):
            gpu.take()
            predict_pool(model, scan.images, batch_size=batch_size)
            counts = gpu.take()
            sorts.append(counts.launches["searchsorted"])
            waits.append(counts.waits.total())
    assert sorts == [1, 1]
    assert waits == [2, 12]  # images to the GPU, responses back


@pytest.mark.parametrize("neurons", [1, 7, 300])
def test_tiles_to_spare_change_nothing(any_gpu, neurons):
    generator = torch.Generator().manual_seed(neurons)
    features = torch.randn(3, 5, 6, 8, generator=generator, requires_grad=True)
    position = torch.rand(neurons, 2, generator=generator) * 2.4 - 1.2
    weight = torch.randn(neurons, 5, generator=generator, requires_grad=True)

    def outcome(device):
        features.grad = weight.grad = None
        read = sample_and_weigh(features.to(device), position.to(device), weight.to(device))
        read.square().sum().backward()
        return read.detach().cpu(), features.grad.clone(), weight.grad.clone()

    with any_gpu():
        found = outcome("cuda")
    tolerance = 1e-6 if any_gpu.exact else 1e-5
    for ours, expected in zip(found, outcome("cpu"), strict=True):
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


def test_no_map_needs_more_tiles_than_a_gpu_has():
    """Each entry's slot is its own, in a tile of its point, however the entries are spread over points."""
    rng = np.random.default_rng(0)
    for entries, points in [(3 * TILE, 1), (4 * TILE + 1, 1), (200, 576), (5000, 576), (33 * 31, 31)]:
        for spread in (1, 7, points):
            point = torch.from_numpy(rng.integers(0, min(spread, points), entries))
            with MakeBelieveGpu():
                tile_point, slot = (part.cpu() for part in _tiles(point.cuda(), points))
            assert slot.max() < len(tile_point) * TILE
            assert len(slot.unique()) == entries
            assert torch.equal(tile_point[slot // TILE], point)


def test_what_was_begun_on_one_kind_of_device_does_not_go_on_on_the_other(any_gpu, tmp_path, scan):
    begun = {}
    with any_gpu():
        for first, then in (("cuda", "cpu"), ("cpu", "cuda"), ("cpu", "cpu"), ("cuda", "cuda")):
            lines: list[str] = []
            for device in (first, then):
                lines.clear()
                resume = ResumeFile(tmp_path / f"{first}_{then}.safetensors")
                fit_response_model(scan, SETTINGS, seed=1, device=device, resume=resume, log=lines.append)
            begun[first, then] = not any("going on after" in line for line in lines)
    assert [pair for pair, anew in begun.items() if anew] == [("cuda", "cpu"), ("cpu", "cuda")]
