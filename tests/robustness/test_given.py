"""Networks that were trained elsewhere, before they are compared."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from neuroreg.errors import InputError
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.evaluation import quick
from neuroreg.robustness.given import given_network
from neuroreg.robustness.masking import misleading_gradients
from neuroreg.training.checkpoints import load_model
from neuroreg.training.export import export_model

# Dark images and bright ones.
_IMAGES = np.repeat(np.array([40, 200], np.uint8), 20)[:, None, None] + np.zeros((1, 32, 32), np.uint8)
_LABELS = np.repeat([0, 1], 20)
DATA = ClassificationData(_IMAGES, _LABELS, _IMAGES, _LABELS, np.array(["dark", "bright"]))


class Brightness(nn.Module):
    """Tells bright images from dark ones; `sign` -1 takes them for one another."""

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(sign))

    def forward(self, images):
        above = self.sign * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-above, above], 1)


def test_what_it_classifies_rightly_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    export_model(Brightness(), tmp_path / "model.pt2", ["dark", "bright"])
    assert given_network(tmp_path / "model.pt2", DATA).class_names == ("dark", "bright")
    assert "100.0 % of 40 test images are classified rightly" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_guessing_is_warned_of(tmp_path, caplog):
    export_model(Brightness(-1.0), tmp_path / "model.pt2")
    given_network(tmp_path / "model.pt2", DATA)
    assert (
        "no more than guessing; expected pixels in [0, 1] and classes in the order dark, bright"
        in caplog.text
    )


@pytest.mark.parametrize(
    ("names", "classes", "sentence"),
    [
        (["bright", "dark"], ["dark", "bright"], "names class 0 'bright'; expected 'dark', as the images do"),
        (None, ["a", "b", "c"], "has 2 outputs; expected 3, one for each class of the images"),
    ],
)
def test_other_classes_are_refused(tmp_path, names, classes, sentence):
    export_model(Brightness(), tmp_path / "model.pt2", names)
    with pytest.raises(InputError, match=rf"model\.pt2: {sentence}"):
        given_network(tmp_path / "model.pt2", replace(DATA, classes=np.array(classes)))


class Viewing(Brightness):
    """Takes it that pixels lie in memory as they did when it was written."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 1)

    def forward(self, images):
        return super().forward(self.convolution(images).relu().view(-1, 1, 96, 32))


@pytest.mark.parametrize("exported", [False, True])
def test_views_of_another_ones_features_work_in_many_passes_too(tmp_path, exported):
    model, images = Viewing().eval(), torch.rand(5, 1, 32, 32)
    if exported:
        export_model(model, tmp_path / "model.pt2")
    asked = quick(load_model(tmp_path / "model.pt2") if exported else model, torch.device("cpu"))
    torch.testing.assert_close(asked(images), model(images))


class Single(Brightness):
    """Turns its images into float32, as a network with mixed precision may."""

    def forward(self, images):
        return super().forward(images.float())


def test_gradients_are_not_compared_with_float64_ones_where_there_are_none(tmp_path):
    options = {"batch_size": 2, "device": torch.device("cpu")}
    images, labels = torch.rand(3, 1, 32, 32), torch.tensor([0, 1, 0])
    assert misleading_gradients(Brightness(), images, labels, **options).tolist() == [False] * 3
    export_model(Single(), tmp_path / "model.pt2")
    assert misleading_gradients(load_model(tmp_path / "model.pt2"), images, labels, **options) is None
