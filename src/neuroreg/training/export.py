"""A trained model as one file that runs without this library and says what it takes: torch.export or ONNX."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroreg import __version__
from neuroreg.errors import InputError, naming
from neuroreg.files.storage import atomic_path
from neuroreg.files.weights import first_line
from neuroreg.training.checkpoints import load_model
from neuroreg.training.programs import (
    DESCRIPTION,
    EXAMPLE,
    SIDE,
    TRIED,
    count_classes,
    load_program,
    read_program,
    shapes,
    write_program,
)

_TOLERANCE = 1e-5  # of the largest logit


def export_model(
    model: nn.Module | str | Path, path: str | Path, class_names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Write a trained model as a program of `torch.export` or of ONNX, which runs without this library.

    What was written is read again, and its logits are compared with the model's on random images, before the
    file stands at `path`. Only PyTorch is needed to run the former, ``torch.export.load(path).module()``,
    and any runtime of ONNX for the latter, whose input is ``images`` and output ``logits``. Both take batches
    of any size.

    Parameters
    ----------
    model
        A network of this library, the file of one (`neuroreg.training.checkpoints.save_model`), or any
        classifier of gray images in [0, 1], float32 (B, 1, 32, 32), to logits (B, classes).
    path
        Where to write; a name that ends in ``.pt2`` (torch.export) or ``.onnx``, which needs the packages
        ``onnx``, ``onnxscript`` and ``onnxruntime``.
    class_names
        What each output stands for; by default what the model says, if it does.

    Returns
    -------
    dict
        What the file says of itself, see `load_exported`.

    Raises
    ------
    InputError
        If the name has another ending, a package is missing, the model is no such classifier, or there are
        class names but not one for each output, or as `load_model`.
    RuntimeError
        If the program's logits differ from the model's by more than 1e-5 of the largest.
    """
    write, read = _format(path)
    model = load_model(model) if isinstance(model, str | Path) else model
    model = _unwrapped(model)
    place = next(model.parameters(), EXAMPLE[0]).device
    if place.type != "cpu":
        raise InputError(f"model: is on {place}; expected it on the CPU, as model.cpu() is.")
    with _as_evaluated(model):
        with naming("model"):
            classes = count_classes(model)
        names = list(getattr(model, "class_names", ()) if class_names is None else class_names)
        for name in names:
            if not isinstance(name, str | Integral):
                raise InputError(f"class names: found {name!r}; expected texts or whole numbers.")
        names = list(map(str, names))
        if names and len(names) != classes:
            raise InputError(f"class names: {len(names)} for {classes} outputs; expected one for each.")
        description = {
            "created_by": f"neuroreg {__version__}",
            "architecture": getattr(model, "architecture", type(model).__name__),
            "width": getattr(model, "width", None),
            "input": {"shape": ["batch", 1, SIDE, SIDE], "dtype": "float32", "range": [0.0, 1.0]},
            "output": "logits",
            "classes": classes,
            "class_names": names,
        }
        try:
            content = write(model, json.dumps(description, indent=1))
        except Exception as error:  # torch raises what its parts raise
            raise InputError(
                f"model: cannot be exported ({first_line(error)}); expected a network that does the same "
                "steps whatever its images and their number."
            ) from error
        _compare(model, read(content))
    with atomic_path(path, len(content)) as partial:
        partial.write_bytes(content)
    return description


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the network that was compiled or spread over devices."""
    model = getattr(model, "_orig_mod", model)
    parallel = nn.DataParallel | nn.parallel.DistributedDataParallel
    return model.module if isinstance(model, parallel) else model


def load_exported(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the program that `export_model` wrote, on the CPU, and what its file says of it.

    Returns
    -------
    module : torch.nn.Module
        Gray images in [0, 1], float32 (B, 1, 32, 32), to logits (B, classes). It stays as trained, whatever
        mode it is asked for.
    description : dict
        ``input`` (shape, dtype, range), ``output``, ``classes``, ``class_names``, ``architecture``,
        ``width``, ``created_by``.

    Raises
    ------
    InputError
        If the file is missing or is none of these. One of ONNX is for a runtime of ONNX to read.
    """
    module, description = load_program(path)
    if not description:
        raise InputError(f"{path}: holds no '{DESCRIPTION}'; expected a file that export_model wrote.")
    return module, description


def _format(path: str | Path) -> tuple[Callable, Callable]:
    """Return, by the name's ending, what makes bytes of a model and its description, and a module of them."""
    suffix = Path(path).suffix
    if suffix not in (".pt2", ".onnx"):
        raise InputError(f"{path}: found the ending '{suffix}'; expected '.pt2' or '.onnx'.")
    if suffix == ".pt2":
        return write_program, lambda content: read_program(content)[0]
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise InputError(
                f"{path}: ONNX needs the Python package '{package}', which is not installed; expected "
                "onnx, onnxscript and onnxruntime (pip install '.[onnx]'), or a name that ends in .pt2."
            )
    return _write_onnx, _InOnnxruntime


def _write_onnx(model: nn.Module, description: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about itself
        program = torch.onnx.export(
            model,
            EXAMPLE,
            dynamo=True,
            dynamic_shapes=shapes(),
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    proto.metadata_props.add(key=DESCRIPTION, value=description)
    return proto.SerializeToString()


class _InOnnxruntime(nn.Module):
    """A program of ONNX, on the CPU."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        import onnxruntime

        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes) of images, float32 (B, 1, 32, 32) in [0, 1]."""
        (logits,) = self.session.run(None, {"images": images.detach().cpu().numpy()})
        return torch.from_numpy(logits)


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
    for count in TRIED:
        images: Tensor = torch.rand(count, 1, SIDE, SIDE, generator=generator)
        expected, found = model(images), program(images)
        difference = (found - expected).abs().max().item()
        if not difference <= _TOLERANCE * expected.abs().max().item():
            raise RuntimeError(f"export: logits of {count} images differ by {difference:g}.")
