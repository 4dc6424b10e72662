"""A trained model as one file that needs PyTorch alone: a program of torch.export that says what it takes."""

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroreg import __version__
from neuroreg.errors import InputError
from neuroreg.files.forms import check_form
from neuroreg.files.storage import atomic_path
from neuroreg.training.architectures import Network
from neuroreg.training.checkpoints import load_model

SIDE = 32  # of the images that are classified, in pixels
DESCRIPTION = "neuroreg.json"
_CHECKED = (1, 2, 7)  # images in the passes that are compared
_TOLERANCE = 1e-5  # of the largest logit


def export_model(
    model: Network | str | Path, path: str | Path, class_names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Write a trained model as a program of `torch.export`, which runs without this library.

    What was written is read again, and its logits are compared with the model's on random images, before the
    file stands at `path`. Only PyTorch is needed to run it: ``torch.export.load(path).module()``. It takes
    batches of any size.

    Parameters
    ----------
    model
        A network of this library, or the file of one (`neuroreg.training.checkpoints.save_model`).
    path
        Where to write; a name that ends in ``.pt2``.
    class_names
        What each output stands for; by default what the model's file says.

    Returns
    -------
    dict
        What the file says of itself, see `load_exported`.

    Raises
    ------
    InputError
        If the name has another ending, or there are class names but not one for each output, or as
        `load_model`.
    RuntimeError
        If the program's logits differ from the model's by more than 1e-5 of the largest.
    """
    _require_pt2(path)
    model = load_model(model) if isinstance(model, str | Path) else model
    names = list(map(str, model.class_names if class_names is None else class_names))
    if names and len(names) != model.classes:
        raise InputError(f"class names: {len(names)} for {model.classes} outputs; expected one for each.")
    description = {
        "created_by": f"neuroreg {__version__}",
        "architecture": model.architecture,
        "width": model.width,
        "input": {"shape": ["batch", 1, SIDE, SIDE], "dtype": "float32", "range": [0.0, 1.0]},
        "output": "logits",
        "classes": model.classes,
        "class_names": names,
    }
    content = BytesIO()
    with _as_evaluated(model):
        program = torch.export.export(
            model, (torch.zeros(2, 1, SIDE, SIDE),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        torch.export.save(program, content, extra_files={DESCRIPTION: json.dumps(description, indent=1)})
        content.seek(0)
        _compare(model, _load(content)[0])
    with atomic_path(path, content.getbuffer().nbytes) as partial:
        partial.write_bytes(content.getbuffer())
    return description


def load_exported(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the program that `export_model` wrote, on the CPU, and what its file says of it.

    Returns
    -------
    module : torch.nn.Module
        Gray images in [0, 1], float32 (B, 1, 32, 32), to logits (B, classes). It stays as trained: neither
        ``train()`` nor ``eval()`` is there.
    description : dict
        ``input`` (shape, dtype, range), ``output``, ``classes``, ``class_names``, ``architecture``,
        ``width``, ``created_by``.

    Raises
    ------
    InputError
        If the file is missing or is none of these.
    """
    _require_pt2(path)
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected an exported model (.pt2).")
    content = BytesIO(Path(path).read_bytes())
    try:
        module, text = _load(content)
    except Exception as error:  # torch raises what its parts raise
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(f"{path}: not a program of torch.export ({first}).") from error
    try:
        description = json.loads(text)
    except ValueError as error:
        raise InputError(
            f"{path}: holds no '{DESCRIPTION}' that can be read; expected a file that export_model wrote."
        ) from error
    check_form(path, description, {})
    return module, description


def _require_pt2(path: str | Path) -> None:
    suffix = Path(path).suffix
    if suffix == ".onnx":
        raise InputError(
            f"{path}: ONNX is not written, since it needs onnx, onnxscript and onnxruntime, which "
            "this project does not install; expected a name that ends in .pt2."
        )
    if suffix != ".pt2":
        raise InputError(f"{path}: found the ending '{suffix}'; expected '.pt2'.")


def _load(content: BytesIO) -> tuple[nn.Module, str]:
    extra = {DESCRIPTION: ""}
    with warnings.catch_warnings():
        # torch 2.12 maps weights from read-only memory, and warns of it.
        warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
        program = torch.export.load(content, extra_files=extra)
    return program.module(), extra[DESCRIPTION]


@contextmanager
def _as_evaluated(model: nn.Module) -> Iterator[None]:
    """Keep a model in eval mode for a while."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def _compare(model: nn.Module, program: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for count in _CHECKED:
        images: Tensor = torch.rand(count, 1, SIDE, SIDE, generator=generator)
        expected, found = model(images), program(images)
        difference = (found - expected).abs().max().item()
        if not difference <= _TOLERANCE * expected.abs().max().item():
            raise RuntimeError(f"export: logits of {count} images differ by {difference:g}.")
