"""Training with torch.compile against the eager step; half the network, as compiling takes a while."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from training_problems import SETTINGS, digits, target

from neuroreg.files.resume import Progress, copied
from neuroreg.training import networks
from neuroreg.training.run import TrainingRun
from neuroreg.training.settings import TrainingSettings

# At a small learning rate, for at a large one any rounding grows.
ONE_EPOCH = {**vars(SETTINGS), "epochs": 1, "learning_rate": 1e-4, "horizontal_flip": True}
APART = {"stimuli_in_batch_norm": False}  # the way with more in it: momenta change on the way


@pytest.fixture(autouse=True)
def compiled_anew(monkeypatch):
    monkeypatch.setitem(networks.BLOCKS, "resnet18", (1, 1, 1, 1))
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def training(**changes):
    images, labels = digits()
    return TrainingRun(images, labels, 10, TrainingSettings(**ONE_EPOCH | changes), 1, 5.0, target(), "cpu")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("together", [True, False])
def test_a_step_is_one_graph(precision, together):
    """Traced by torch.compile, forward and backward, but run operator by operator: equal to the bit."""
    changes = {"precision": precision, "stimuli_in_batch_norm": together}
    eager, traced = training(**changes), training(**changes)
    traced.losses = torch.compile(traced.objective, backend="aot_eager", dynamic=False)
    for (expected, pairs), (found, pairs_found) in zip(eager.steps(0), traced.steps(0), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(pairs_found, pairs, rtol=1e-6, atol=1e-6)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1  # nor is it compiled again as training goes on


def gradients(training, names):
    return torch.cat(
        [
            parameter.grad.flatten()
            for name, parameter in training.objective.named_parameters()
            if name.startswith(names)
        ]
    )


def test_compiled_numbers_are_those_of_the_eager_step():
    eager, compiled = training(**APART), training(**APART, compile=True)
    steps = zip(eager.steps(0), compiled.steps(0), strict=True)
    (expected, pairs), (found, pairs_found) = next(steps)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(pairs_found, pairs, rtol=1e-4, atol=1e-5)
    # Rounding decides whether a ReLU near 0 passes a gradient on: one bit of a weight moves that of all
    # layers before by as much. No ReLU comes after the first two.
    for names, tolerance in ((("model.linear", "readout"), 1e-4), (("model", "readout"), 1e-2)):
        error = gradients(compiled, names) - gradients(eager, names)
        assert error.norm() <= tolerance * gradients(eager, names).norm()
    for (name, buffer), other in zip(
        eager.objective.named_buffers(), compiled.objective.buffers(), strict=True
    ):
        torch.testing.assert_close(other, buffer, rtol=1e-4, atol=1e-5, msg=name)
    for (expected, _), (found, _) in steps:
        torch.testing.assert_close(found, expected, rtol=5e-3, atol=0)
    assert not counters["graph_break"]

    resumed = training(**APART, compile=True)
    resumed.restore(Progress([], -1, {name: copied(part) for name, part in compiled.state().items()}))
    assert_same_row(compiled.epoch(1), resumed.epoch(1))
    for group, tensors in compiled.state().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, resumed.state()[group][name]), name


def assert_same_row(first, second):
    assert {name: repr(value) for name, value in first.items()} == {
        name: repr(value) for name, value in second.items()
    }


WITHOUT_COMPILER = """
import sys
sys.path.insert(0, sys.argv[1])
from training_problems import SETTINGS, run
from neuroreg.errors import InputError
from neuroreg.training.settings import TrainingSettings
try:
    run(settings=TrainingSettings(**{**vars(SETTINGS), "compile": True}))
except InputError as error:
    print(error)
"""


def test_without_a_compiler_one_sentence_says_so(tmp_path):
    helpers = Path(__file__).parents[1] / "helpers"
    nothing = {"CXX": str(tmp_path / "no_compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER, str(helpers)],
        env=os.environ | nothing,
        capture_output=True,
        text=True,
        check=True,
    )
    (sentence,) = done.stdout.splitlines()
    assert sentence.startswith("config key 'training.compile': found true, but torch.compile does not work")
    assert "expected false, or a C++ compiler such as g++" in sentence
