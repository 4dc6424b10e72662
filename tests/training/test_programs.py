"""Networks that were trained elsewhere: what is taken as a classifier, and that it stays what it was."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from neuroreg.errors import InputError
from neuroreg.training.checkpoints import load_model
from neuroreg.training.export import export_model, load_exported
from neuroreg.training.programs import DESCRIPTION, count_classes


class Coloured(nn.Module):
    """Of three normalised colours, with a part that differs between training and evaluation."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1))
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=4),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(256, 5),
        )

    def forward(self, images):
        return self.layers((images.expand(-1, 3, -1, -1) - self.mean) / torch.tensor(0.2))


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Coloured()
    network(torch.rand(20, 1, 32, 32))  # moves batch norm's averages
    return network


def saved(network, path, count=2, **options):
    """Write it as a user of torch alone does."""
    program = torch.export.export(network, (torch.rand(count, 1, 32, 32),), **options)
    torch.export.save(program, path)
    return path


ANY_NUMBER = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}


@pytest.mark.parametrize("writer", ["export_model", "torch"])
def test_logits_and_gradients_are_the_networks_in_any_mode(network, tmp_path, writer):
    path = tmp_path / "model.pt2"
    if writer == "torch":
        saved(network.eval(), path, **ANY_NUMBER)
    else:
        export_model(network.train(), path, "abcde")
        assert network.training
    model, images = load_model(path), torch.rand(9, 1, 32, 32, requires_grad=True)
    assert model.class_names == (() if writer == "torch" else ("a", "b", "c", "d", "e"))
    network.eval()
    for asked in (model, model.train(), model.eval(), copy.deepcopy(model)):
        torch.testing.assert_close(asked(images), network(images))
    found, expected = (
        torch.autograd.grad(one(images).logsumexp(1).sum(), images)[0] for one in (model, network)
    )
    torch.testing.assert_close(found, expected)
    finer = images.detach().double()
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(model).double()(finer), network.double()(finer))


def test_a_description_says_what_any_network_is(network, tmp_path):
    export_model(network, tmp_path / "model.pt2")
    _, description = load_exported(tmp_path / "model.pt2")
    assert (description["architecture"], description["classes"], description["class_names"]) == (
        "Coloured",
        5,
        [],
    )


class Wrong(nn.Module):
    """A linear classifier whose logits something is done with."""

    def __init__(self, deed):
        super().__init__()
        self.linear, self.deed = nn.Linear(1024, 3), deed

    def forward(self, images):
        return self.deed(self.linear(images.flatten(1)))


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        (lambda logits: logits.argmax(1), r"returns \(1,\) for a batch of 1; expected logits \(1, classes\)"),
        (lambda logits: logits[:, :1], r"returns \(1, 1\) for a batch of 1; expected logits"),
        (lambda logits: {"logits": logits}, "returns dict for a batch of 1; expected logits"),
        (lambda logits: logits.long(), r"returns torch\.int64; expected logits of float32"),
        (lambda logits: logits.bfloat16(), r"returns torch\.bfloat16; expected logits of float32"),
        (lambda logits: logits.softmax(1), "returns probabilities; expected logits"),
        (lambda logits: logits.detach(), "logits have no gradient by the image"),
        (lambda logits: logits / 0, "logits of random images are NaN or infinite"),
        (
            lambda logits: logits - logits.mean(0),
            "an image's logits depend on the images beside it, or on chance",
        ),
        (
            lambda logits: logits + 1e-4 * torch.rand(3),
            "an image's logits depend on the images beside it, or on chance",
        ),
        (
            lambda logits: logits.reshape(2, 3),
            r"fails for a batch of 1 \(shape '\[2, 3\]' is invalid.* for any N",
        ),
    ],
)
def test_what_is_no_classifier_is_told_in_a_sentence(tmp_path, deed, sentence):
    with pytest.raises(InputError, match=f"^{sentence}"):
        count_classes(Wrong(deed))
    with pytest.raises(InputError, match=f"^model: {sentence}"):
        export_model(Wrong(deed), tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_one_that_was_exported_in_training_mode_or_for_one_number_is_refused(network, tmp_path):
    trained = load_model(saved(network.train(), tmp_path / "trained.pt2", **ANY_NUMBER))
    with pytest.raises(InputError, match="in eval mode"):
        count_classes(trained)
    alone = load_model(saved(network.eval(), tmp_path / "alone.pt2", count=1))
    with pytest.raises(InputError, match=r"fails for a batch of 2 .* for any N"):
        count_classes(alone)


class InPlace(Wrong):
    def forward(self, images):
        return super().forward(images.sub_(0.5))


def test_images_that_are_changed_are_told_of(tmp_path):
    with pytest.raises(InputError, match=r"^model: changes the images that it is given"):
        export_model(InPlace(lambda logits: logits), tmp_path / "model.pt2")


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_compiled_and_parallel_networks_are_exported_as_what_they_are(network, tmp_path, wrap):
    with torch.no_grad():  # as it is used for inference
        description = export_model(wrap(network), tmp_path / "model.pt2")
        assert description["architecture"] == "Coloured"
        images = torch.rand(3, 1, 32, 32)
        torch.testing.assert_close(load_model(tmp_path / "model.pt2")(images), network.eval()(images))


def test_names_are_texts_or_whole_numbers(network, tmp_path):
    with pytest.raises(InputError, match=r"class names: found tensor\(0\); expected texts or whole numbers"):
        export_model(network, tmp_path / "model.pt2", torch.arange(5))
    assert export_model(network, tmp_path / "model.pt2", np.arange(5))["class_names"] == list("01234")


def test_a_limit_of_the_batch_is_refused(network, tmp_path):
    few = {"dynamic_shapes": ({0: torch.export.Dim("batch", max=32)},)}
    with pytest.raises(InputError, match=r"model\.pt2: takes 32 images at most; expected a program for any"):
        load_model(saved(network.eval(), tmp_path / "model.pt2", **few))


@pytest.mark.parametrize("content", ["whole", "state", "script"])
def test_files_of_other_kinds_are_named(network, tmp_path, capfd, content):
    path = tmp_path / "model.pt2"
    if content == "script":
        torch.jit.script(nn.Linear(1, 1)).save(path)
    else:
        torch.save(network if content == "whole" else network.state_dict(), path)
    with pytest.raises(InputError, match=r"not a program .* \(made by torch\.save or torch\.jit\); expected"):
        load_model(path)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("text", ["null", "3", '{"class_names": 3}'])
def test_a_description_of_another_form_is_refused(network, tmp_path, text):
    program = torch.export.export(network.eval(), (torch.rand(2, 1, 32, 32),), **ANY_NUMBER)
    torch.export.save(program, tmp_path / "model.pt2", extra_files={DESCRIPTION: text})
    with pytest.raises(InputError, match=r"model\.pt2: .*found .*; expected"):
        load_model(tmp_path / "model.pt2")


def test_branches_that_depend_on_pixels_cannot_be_exported(tmp_path):
    deeds = Wrong(lambda logits: logits if logits.sum() > 0 else 2 * logits)
    with pytest.raises(InputError, match=r"model: cannot be exported \(.*whatever its images"):
        export_model(deeds, tmp_path / "model.pt2")
