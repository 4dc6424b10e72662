"""Trained models on disk: safetensors with the architecture in the metadata; others' as programs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from neuroreg.files.weights import check_finite, reading_weights, write_weights
from neuroreg.training.architectures import Network, build_network
from neuroreg.training.programs import Program, load_program

SIMILARITY_PREFIX = "similarity."


def save_model(
    path: str | Path, model: Network, similarity: Mapping[str, Tensor], class_names: Iterable[str] = ()
) -> None:
    """Write a classifier and its similarity readout, atomically.

    Parameters
    ----------
    path
        A ``.safetensors`` file.
    model
        The classifier.
    similarity
        The similarity readout's gamma logits and running means; stored with the prefix ``similarity.``.
    class_names
        What each output stands for, if known.
    """
    tensors = model.state_dict() | {SIMILARITY_PREFIX + name: value for name, value in similarity.items()}
    network = {"architecture": model.architecture, "width": model.width, "classes": model.classes}
    network["class_names"] = list(map(str, class_names))
    # One entry, because safetensors writes several in random order: same content, same bytes.
    metadata = {"network": json.dumps(network)}
    write_weights(path, tensors, metadata)


def load_model(path: str | Path) -> Network | Program:
    """Return a classifier, on the CPU, float32, in eval mode.

    It takes gray images in [0, 1], float32 (B, 1, 32, 32), scales them itself and returns logits
    (B, classes). ``class_names`` says what each output stands for, a tuple of texts; it is empty where the
    file does not tell.

    Parameters
    ----------
    path
        A ``.safetensors`` file of `save_model`, or a ``.pt2`` file of `neuroreg.training.export.export_model`
        or torch.export.

    Raises
    ------
    InputError
        If the file is missing, is neither safetensors nor a program of torch.export, or does not hold a
        classifier of this project.
    """
    if Path(path).suffix == ".pt2":
        return load_program(path)[0]
    with reading_weights(path, "trained model", "training") as file:
        network = json.loads((file.metadata() or {})["network"])
        tensors = {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 (not a mapping)
            if not name.startswith(SIMILARITY_PREFIX)
        }
        class_names = tuple(network.pop("class_names", ()))
        model = build_network(**network)
        model.load_state_dict(tensors)
        check_finite(tensors)
    model.class_names = class_names
    return model.eval()
