"""VGG features against torchvision's own network with the same random weights."""

import pickle

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models import VGG19_Weights

from neuroreg.errors import InputError
from neuroreg.files.storage import sha256
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.features import feature_similarity, load_vgg_weights, vgg_features

NEEDED = [f"features.{index}.{part}" for index in (0, 2, 5, 7, 10) for part in ("weight", "bias")]


@pytest.fixture(scope="module")
def reference():
    """torchvision's features up to conv3-1 and its ReLU."""
    torch.manual_seed(0)
    return torchvision.models.vgg19(weights=None, init_weights=False).features[:12].eval()


@pytest.fixture(scope="module")
def state(reference):
    return {f"features.{name}": tensor.clone() for name, tensor in reference.state_dict().items()}


@pytest.fixture
def weights_path(state, tmp_path):
    save_file(state, tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


def images(count=5):
    return np.random.default_rng(0).integers(0, 256, (count, 36, 64), np.uint8)


def expected_features(reference, gray):
    colour = np.repeat(gray[:, :, :, None], 3, axis=3)
    transform = torchvision.transforms.Compose(
        [
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize(
                VGG19_Weights.IMAGENET1K_V1.transforms().mean, VGG19_Weights.IMAGENET1K_V1.transforms().std
            ),
        ]
    )
    with torch.no_grad():
        return reference(torch.stack([transform(image) for image in colour])).flatten(1).numpy()


def test_features_are_those_of_torchvision(reference, weights_path):
    found = vgg_features(images(), load_vgg_weights(weights_path), batch_size=2)
    assert found.shape == (5, 256 * 9 * 16)
    assert found.dtype == np.float32
    expected = expected_features(reference, images())
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    assert found.min() == 0


def test_similarity_is_the_centred_cosine_over_the_pool(reference, weights_path):
    stimuli = Stimuli(images(), np.array([f"c/{i}" for i in range(5)]), np.arange(5) == 1)
    weights = load_vgg_weights(weights_path)
    found = feature_similarity(stimuli, weights)
    assert found.key.tolist() == ["c/0", "c/2", "c/3", "c/4"]
    features = expected_features(reference, images()[[0, 2, 3, 4]]).astype(np.float64)
    features -= features.mean(0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(found.matrix, features @ features.T, atol=1e-4)
    assert found.scans == ()
    assert found.provenance["kind"] == "features"
    assert found.provenance["weights"] == "vgg.safetensors"
    assert found.provenance["weights_sha256"] == sha256(weights_path)


def test_a_pth_file_of_the_whole_network_is_read(reference, state, weights_path, tmp_path):
    whole = state | {"features.12.weight": torch.zeros(3), "classifier.0.bias": torch.zeros(2)}
    torch.save(whole, tmp_path / "vgg.pth")
    found = load_vgg_weights(tmp_path / "vgg.pth")
    assert sorted(found.tensors) == sorted(NEEDED)
    for name, tensor in load_vgg_weights(weights_path).tensors.items():
        torch.testing.assert_close(found.tensors[name], tensor, rtol=0, atol=0)


class Dangerous:
    def __reduce__(self):
        return print, ("executed",)


def damaged(state, path, how):
    match how:
        case "dangerous":
            path.write_bytes(pickle.dumps(Dangerous(), protocol=2))
        case "text":
            path.write_text("weights")
        case "list":
            torch.save([1, 2], path)
        case "lacking":
            torch.save({name: state[name] for name in NEEDED[:-1]}, path)
        case "other shape":
            torch.save(state | {"features.5.weight": torch.zeros(128, 64, 1, 1)}, path)
        case "not finite":
            torch.save(state | {"features.5.bias": torch.full((128,), torch.nan)}, path)
        case "no tensor":
            torch.save(state | {"features.5.bias": "text"}, path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("absent", "no such file"),
        ("text", "not readable as weights"),
        ("dangerous", "not readable as weights"),
        ("list", "no tensor 'features.0.weight'"),
        ("lacking", "no tensor 'features.10.bias'"),
        ("other shape", r"'features.5.weight' of shape \(128, 64, 1, 1\); expected \(128, 64, 3, 3\)"),
        ("not finite", r"'features.5.bias' of shape \(128,\); expected \(128,\), all values finite"),
        ("no tensor", "not readable as weights"),
    ],
)
def test_a_file_that_holds_no_vgg_gets_one_sentence(state, tmp_path, capfd, suffix, how, message):
    path = tmp_path / f"vgg{suffix}"
    damaged(state, path, how)
    if suffix == ".safetensors" and how != "absent":
        message = "not readable as weights"  # it is a pickle
    with pytest.raises(InputError, match=message) as caught:
        load_vgg_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "executed" not in capfd.readouterr().out


def test_without_a_network_the_message_names_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(InputError, match=r"not downloaded .* a target's key 'weights' can name") as caught:
        load_vgg_weights()
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_file_in_torchs_cache_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"vgg19-dcbb9e9d\.pth: its SHA-256 does not begin with dcbb9e9d"):
        load_vgg_weights()
