"""Training on a GPU, make-believe and real: nothing on the wrong device, no waits in steps, few launches."""

import copy

import pytest
import torch
from training_problems import SETTINGS, digits, run, target

from neuroreg.devices import full_float32
from neuroreg.files.resume import ResumeFile
from neuroreg.training.checkpoints import load_model
from neuroreg.training.export import export_model
from neuroreg.training.run import TrainingRun
from neuroreg.training.settings import TrainingSettings

ONE_EPOCH = {**vars(SETTINGS), "epochs": 1, "horizontal_flip": True}
# Without and with autocast, which casts each weight. Ten more than were counted.
LAUNCHES = {"float32": 800, "bfloat16": 900}


@pytest.mark.parametrize(("alpha", "device"), [(0.0, "cuda"), (5.0, "cuda:1")])
def test_it_trains_as_on_the_cpu(any_gpu, alpha, device):
    settings = TrainingSettings(**ONE_EPOCH)
    options = {"settings": settings, "alpha": alpha, "target": target() if alpha else None}
    with any_gpu(devices=2 if device == "cuda:1" else 1) as gpu:
        found = run(device=device, **options)
        assert found.model.conv1.weight.device.type == "cpu"
        first = first_losses(device, **options)
    assert not gpu.counts.tf32
    assert first == pytest.approx(first_losses("cpu", **options), rel=1e-4)
    if any_gpu.exact:
        # Elsewhere steps at a high learning rate let what is rounded otherwise grow, see `train`.
        for name, value in run(**options).history[0].items():
            assert found.history[0][name] == pytest.approx(value, rel=1e-4, nan_ok=True)


@full_float32()
def first_losses(device, settings, alpha, target):
    """Losses of the first step."""
    images, labels = digits()
    losses, _ = next(TrainingRun(images, labels, 10, settings, 1, alpha, target, device).steps(0))
    return losses.tolist()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_make_the_host_wait_for_nothing(any_gpu, precision):
    settings = TrainingSettings(**ONE_EPOCH | {"precision": precision})
    images, labels = digits()
    with any_gpu() as gpu:
        training = TrainingRun(images, labels, 10, settings, 1, 5.0, target(), "cuda")
        gpu.take()
        steps = training.steps(0)
        next(steps)
        assert not gpu.take().waits  # nor do the epoch's draws
        next(steps)
        step = gpu.take()
        assert not step.waits, step
        assert 0 < step.launches.total() <= LAUNCHES[precision] * gpu.kernels, step.launches.most_common()


def test_an_epoch_waits_seldom(any_gpu):
    """A look at the loss each 50 steps, the others at the epoch's end, whatever the number of images."""
    waits = []
    for count in (200, 400):
        images, labels = digits(count)
        with any_gpu() as gpu:
            training = TrainingRun(
                images, labels, 10, TrainingSettings(**ONE_EPOCH), 1, 5.0, target(), "cuda"
            )
            gpu.take()
            training.epoch(0)
            waits.append(gpu.take().waits.total())
    assert waits[0] == waits[1] <= 8


def test_a_killed_run_goes_on_there(any_gpu, tmp_path):
    settings = TrainingSettings(**ONE_EPOCH | {"epochs": 2})

    class Killed(Exception):
        pass

    class UntilFirst(ResumeFile):
        def save(self, progress):
            super().save(progress)
            raise Killed

    with any_gpu() as gpu:
        with pytest.raises(Killed):
            run(settings=settings, device="cuda", resume=UntilFirst(tmp_path / "resume.safetensors"))
        resumed = run(settings=settings, device="cuda", resume=ResumeFile(tmp_path / "resume.safetensors"))
        whole = run(settings=settings, device="cuda")
    assert [row["epoch"] for row in resumed.history] == [1, 2]
    for name, tensor in whole.model.state_dict().items():
        assert not gpu.exact or torch.equal(tensor, resumed.model.state_dict()[name])


def test_what_was_begun_on_one_kind_of_device_does_not_go_on_on_the_other(any_gpu, tmp_path, caplog):
    caplog.set_level("INFO", "neuroreg")
    settings = TrainingSettings(**ONE_EPOCH)
    begun = {}
    with any_gpu():
        for first, then in (("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")):
            path = tmp_path / f"{first}_{then}.safetensors"
            run(settings=settings, device=first, resume=ResumeFile(path))
            caplog.clear()
            run(settings=settings, device=then, resume=ResumeFile(path))
            begun[first, then] = not any("going on after" in message for message in caplog.messages)
    assert [pair for pair, anew in begun.items() if anew] == [("cuda", "cpu"), ("cpu", "cuda")]


class Constants(torch.nn.Module):
    """Holds tensors that are neither parameters nor buffers, and makes others where it was written to."""

    def __init__(self):
        super().__init__()
        self.linear, self.mean = torch.nn.Linear(1024, 3), torch.full((1, 1, 32, 1), 0.5)

    def forward(self, images):
        ramp = torch.arange(32, device=torch.device("cpu"))
        return self.linear(((images - self.mean) / torch.tensor([2.0]) + ramp).flatten(1))


def test_what_was_exported_on_the_cpu_moves_there_and_back(any_gpu, tmp_path):
    export_model(Constants(), tmp_path / "model.pt2")
    model, images = load_model(tmp_path / "model.pt2"), torch.rand(5, 1, 32, 32)
    expected = model(images)
    with any_gpu():
        copied = copy.deepcopy(model).to("cuda")
        found = copied(images.to("cuda"))
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(copied.cpu()(images), expected)
    torch.testing.assert_close(model(images), expected)
    assert copied.double()(images.double()).dtype == torch.float64
