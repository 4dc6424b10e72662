"""Similarity of the stimuli in VGG19, trained on ImageNet: the paper's condition "VGG"."""

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torchvision.models import VGG19_Weights

from neuroreg.devices import full_float32
from neuroreg.errors import InputError
from neuroreg.files.storage import sha256
from neuroreg.files.weights import first_line, open_weights
from neuroreg.images.stimuli import Stimuli
from neuroreg.similarity.matrix import SimilarityMatrix, centred_cosine

logger = logging.getLogger(__name__)
LAYER = "VGG19 conv3-1 after its ReLU"
BATCH = 64
# torchvision's numbers of the convolutions up to conv3-1, with their channels.
_CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
_SHAPES = {
    f"features.{index}.{part}": shape
    for index, (before, after) in _CONVOLUTIONS.items()
    for part, shape in (("weight", (after, before, 3, 3)), ("bias", (after,)))
}
# Of ImageNet's colours in [0, 1], as the network was trained.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class VggWeights:
    """The first convolutions of a VGG19.

    Attributes
    ----------
    tensors
        float32, by torchvision's names ``features.{0,2,5,7,10}.{weight,bias}``.
    file
        Name of the file they are from.
    sha256
        Of that file, hexadecimal.
    """

    tensors: dict[str, Tensor]
    file: str
    sha256: str


def load_vgg_weights(path: str | Path | None = None) -> VggWeights:
    """Return the weights of VGG19 up to conv3-1; nothing in the file is executed.

    Parameters
    ----------
    path
        A state dict as torchvision names it, ``.pth`` or ``.safetensors``, of which ``features.{0,2,5,7,10}``
        are needed. None for torchvision's ``IMAGENET1K_V1``, downloaded unless it lies in torch's cache, and
        checked by the hash in its name.

    Raises
    ------
    InputError
        If the download fails, the file is missing, no state dict, or lacks a tensor of VGG19.
    """
    path = _torchvision_file() if path is None else Path(path)
    expected = "a state dict of torchvision's vgg19 (.pth or .safetensors)"
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected {expected}.")
    path.open("rb").close()  # else a file that must not be read passes for a damaged one
    try:
        if path.suffix == ".safetensors":
            with open_weights(path) as file:
                names = set(file.keys()) & set(_SHAPES)
                found = {name: file.get_tensor(name) for name in names}
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            found = {name: state[name].clone() for name in _SHAPES if name in state}
            del state
        fits = {
            name: tensor.is_floating_point() and bool(tensor.isfinite().all())
            for name, tensor in found.items()
        }
        found = {name: tensor.float() for name, tensor in found.items()}
    except (
        SafetensorError, pickle.UnpicklingError, BadZipFile, EOFError, OSError, RuntimeError, TypeError,
        AttributeError, ValueError, KeyError,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path}: not readable as weights ({first_line(error)}); expected {expected}."
        ) from error
    for name, shape in _SHAPES.items():
        if name not in found:
            raise InputError(f"{path}: no tensor '{name}'; expected {expected}.")
        if tuple(found[name].shape) != shape or not fits[name]:
            raise InputError(
                f"{path}: '{name}' of shape {tuple(found[name].shape)}; expected {shape}, all values finite."
            )
    return VggWeights({name: found[name] for name in _SHAPES}, path.name, sha256(path))


def _torchvision_file() -> Path:
    """Return torchvision's weights of VGG19 in torch's cache, downloading them first if they are missing."""
    url = VGG19_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    start_of_hash = path.stem.rpartition("-")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=start_of_hash, progress=False)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{url}: not downloaded ({first_line(error)}); expected torchvision's VGG19 weights, which "
                "a target's key 'weights' can name as a local file."
            ) from error
    if not sha256(path).startswith(start_of_hash):
        raise InputError(f"{path}: its SHA-256 does not begin with {start_of_hash}; expected an intact file.")
    return path


def vgg_network(weights: VggWeights) -> nn.Sequential:
    """Return VGG19 from gray stimuli, float32 (B, 3, H, W) and normalised, to conv3-1 after its ReLU.

    Its modules have the numbers of torchvision's ``features``: five convolutions, each with a ReLU, and two
    max pools.
    """
    layers: list[nn.Module] = []
    for index, channels in _CONVOLUTIONS.items():
        if index > len(layers):
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Conv2d(*channels, 3, padding=1), nn.ReLU(inplace=True)]
    network = nn.Sequential(*layers)
    network.load_state_dict(
        {name.removeprefix("features."): tensor for name, tensor in weights.tensors.items()}
    )
    return network.eval().requires_grad_(False)


@full_float32()
@torch.inference_mode()
def vgg_features(
    images: np.ndarray, weights: VggWeights, *, device: torch.device | str = "cpu", batch_size: int = BATCH
) -> np.ndarray:
    """Return conv3-1 features of gray images, which stand in all three colours.

    Parameters
    ----------
    images
        uint8 (P, H, W), gray levels 0..255.
    weights
        From `load_vgg_weights`.
    device
        Where to compute.
    batch_size
        Images at a time.

    Returns
    -------
    numpy.ndarray
        float32 (P, 256 * (H // 4) * (W // 4)), at least 0; 36,864 features of a 36x64 stimulus.
    """
    network = vgg_network(weights).to(device)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (_MEAN, _STD))
    count, height, width = images.shape
    features = np.empty((count, 256 * (height // 4) * (width // 4)), np.float32)
    for start in range(0, count, batch_size):
        gray = torch.tensor(images[start : start + batch_size], device=device).float()[:, None] / 255
        features[start : start + batch_size] = network((gray - mean) / std).flatten(1).cpu().numpy()
    return features


def feature_similarity(
    stimuli: Stimuli, weights: VggWeights, *, device: torch.device | str = "cpu"
) -> SimilarityMatrix:
    """Return the similarity of the pool in VGG19: centred cosine of the flattened conv3-1 features.

    The features of all images are held once in float32, 0.74 GB for 5,000 stimuli.

    Parameters
    ----------
    stimuli
        The pool.
    weights
        From `load_vgg_weights`.
    device
        Where to compute the features.
    """
    pool = ~stimuli.oracle
    features = vgg_features(stimuli.images[pool], weights, device=device)
    matrix = centred_cosine(features, np.ones(features.shape[1]), stimuli.key[pool])
    provenance = {
        "kind": "features",
        "layer": LAYER,
        "weights": weights.file,
        "weights_sha256": weights.sha256,
    }
    return SimilarityMatrix(matrix, stimuli.key[pool], (), provenance)
