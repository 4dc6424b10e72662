import pytest
import torch

from neuroreg.errors import InputError
from neuroreg.training.architectures import Network, build_network
from neuroreg.training.settings import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_each_keeps_the_contract(name):
    model = build_network(name, 4, 7)
    assert isinstance(model, torch.nn.Module)
    assert isinstance(model, Network)
    assert (model.architecture, model.width, model.classes, model.class_names) == (name, 4, 7, ())
    assert list(model.layer_names) == sorted(set(model.layer_names))
    features = model.features(torch.rand(2, 1, 36, 64))
    assert tuple(part.shape[1] for part in features) == model.layer_channels
    assert len(features) == len(model.layer_names)
    assert model(torch.rand(2, 1, 32, 32)).shape == (2, 7)


def test_a_module_without_the_class_that_it_names_is_told(monkeypatch):
    monkeypatch.setitem(NETWORKS, "mine", ("networks", "Mine"))
    with pytest.raises(InputError, match=r"networks\.py has no class 'Mine', which its ARCHITECTURES names"):
        build_network("mine", 4, 10)


def test_another_name_is_refused():
    with pytest.raises(InputError, match="'vgg'; expected one of resnet18, resnet34"):
        build_network("vgg", 4, 10)
