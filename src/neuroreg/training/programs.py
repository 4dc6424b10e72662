"""Networks as programs of torch.export: files of a classifier that need no class, whoever trained it."""

import json
import logging
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neuroreg.errors import InputError, naming
from neuroreg.files.forms import check_form
from neuroreg.files.weights import first_line

SIDE = 32  # of the images that are classified, in pixels
DESCRIPTION = "neuroreg.json"
EXAMPLE = (torch.zeros(2, 1, SIDE, SIDE),)
TRIED = (1, 2, 7)  # images in the passes that are compared
_SAME = 1e-5  # of the largest logit: what an image's logits may differ by between equal passes
_ALONE = 1e-3  # and between batches, of which each is rounded in its own way
_SUM = 1e-4  # what probabilities add up to 1 within
_MANY = 100_000  # images in a batch: a limit below is one
_FORM = {"class_names": [str]}


class Program(nn.Module):
    """A network that was exported: gray images in [0, 1], float32 (B, 1, 32, 32), to logits (B, classes).

    It stays as it was exported, whatever mode it is asked for.

    Attributes
    ----------
    class_names
        What each output stands for, a tuple of texts; empty where the file does not tell.
    """

    def __init__(self, module: nn.Module, class_names: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.module, self.class_names = module, class_names
        self.training = False

    def train(self, mode: bool = True) -> "Program":
        """Return the program as it is: an exported one has no modes."""
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.module(images)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Program":
        """Change, as `to` does, what else the program holds: constants, and where it makes new tensors."""
        super()._apply(fn, recurse)
        place = fn(torch.empty(0)).device
        for part in self.module.modules():
            for name, value in list(vars(part).items()):
                if isinstance(value, Tensor):
                    setattr(part, name, fn(value))
            if isinstance(part, torch.fx.GraphModule) and _place(part.graph, place):
                part.recompile()
        return self


def _place(graph: torch.fx.Graph, place: torch.device) -> bool:
    """Have a graph make its new tensors at `place`; say whether it made one elsewhere."""
    changed = False
    for node in graph.nodes:
        if node.kwargs.get("device", place) != place:
            node.kwargs = {**node.kwargs, "device": place}
            changed = True
        if node.target is torch.ops.aten.to.device and node.args[1] != place:
            node.args = (node.args[0], place, *node.args[2:])
            changed = True
    return changed


def shapes() -> tuple[dict[int, Any]]:
    """Return what an export is told of `EXAMPLE`: the number of images may be any."""
    return ({0: torch.export.Dim("batch")},)  # not a constant: it imports SymPy


def write_program(model: nn.Module, description: str) -> bytes:
    """Return a network in eval mode as the content of a ``.pt2`` file, for batches of any size."""
    content = BytesIO()
    program = torch.export.export(model, EXAMPLE, dynamic_shapes=shapes())
    torch.export.save(program, content, extra_files={DESCRIPTION: description})
    return content.getvalue()


def read_program(content: bytes) -> tuple[nn.Module, str]:
    """Return what `write_program` or torch.export wrote, and the description, empty where there is none.

    Raises
    ------
    InputError
        If it takes a limited number of images.
    """
    extra = {DESCRIPTION: ""}
    with warnings.catch_warnings(), _silent(logging.getLogger("torch.export")):
        # torch 2.12 maps weights from read-only memory, and warns of it.
        warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
        program = torch.export.load(BytesIO(content), extra_files=extra)
    for limits in program.range_constraints.values():
        if limits.upper < _MANY:
            raise InputError(f"takes {limits.upper} images at most; expected a program for any number.")
    return program.module(), extra[DESCRIPTION]


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep a logger from telling of errors that are raised as well."""
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def load_program(path: str | Path) -> tuple[Program, dict[str, Any]]:
    """Return the network in a ``.pt2`` file, on the CPU, and what the file says of it, empty if nothing.

    Raises
    ------
    InputError
        If the file is missing, has another ending or is no program, or its description cannot be read.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise InputError(f"{path}: found the ending '{path.suffix}'; expected '.pt2'.")
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected an exported model.")
    content = path.read_bytes()
    try:
        with naming(path):
            module, text = read_program(content)
    except InputError:
        raise
    except Exception as error:  # torch raises what its parts raise
        why = "made by torch.save or torch.jit" if _is_pickle(content) else first_line(error)
        raise InputError(
            f"{path}: not a program of torch.export ({why}); expected what torch.export.save or "
            "neuroreg.export_model wrote."
        ) from error
    try:
        description = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(
            f"{path}: holds no '{DESCRIPTION}' that can be read; expected a file that export_model wrote."
        ) from error
    check_form(path, description, {})
    check_form(path, description, _FORM if "class_names" in description else {})
    return Program(module, tuple(description.get("class_names", ()))), description


def _is_pickle(content: bytes) -> bool:
    """Say whether a file is one of torch.save or TorchScript."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError):
        return False


def count_classes(model: nn.Module) -> int:
    """Return how many logits a network in eval mode gives for an image, after trying that it is a classifier.

    It is asked for random images, by one, two and seven.

    Raises
    ------
    InputError
        If it takes no float32 images (N, 1, 32, 32), in batches of any size, or changes them; does not return
        finite logits (N, classes) of at least two classes, float32 or float64, but probabilities, for
        instance, which attacks cannot climb; has no gradient by the image; or an image's logits depend on the
        images beside it or on chance, as of a network that was exported in training mode.
    """
    generator = torch.Generator().manual_seed(0)
    images: Tensor = torch.rand(max(TRIED), 1, SIDE, SIDE, generator=generator)
    with torch.no_grad():
        *passes, again = [_logits(model, images[:count]) for count in (*TRIED, TRIED[-1])]
    largest = passes[-1].abs().max().item()
    if not math.isfinite(largest):
        raise InputError("logits of random images are NaN or infinite; expected finite ones.")
    apart = max((one - passes[-1][: len(one)]).abs().max().item() for one in passes)
    if apart > _ALONE * largest or (again - passes[-1]).abs().max().item() > _SAME * largest:
        raise InputError(
            "an image's logits depend on the images beside it, or on chance; expected a network in eval mode."
        )
    if passes[-1].min() >= 0 and (passes[-1].sum(dim=1) - 1).abs().max().item() <= _SUM:
        raise InputError("returns probabilities; expected logits, what comes before the softmax.")
    with torch.enable_grad():
        first = _logits(model, images.requires_grad_())[:, 0].sum()
    if not first.requires_grad or torch.autograd.grad(first, images, allow_unused=True)[0] is None:
        raise InputError("logits have no gradient by the image; expected a network to differentiate.")
    return passes[-1].shape[1]


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    count, given = len(images), images.clone()
    try:
        logits = model(given)
    except Exception as error:  # whatever the network's own code raises
        raise InputError(
            f"fails for a batch of {count} ({first_line(error)}); expected a network of float32 images "
            f"(N, 1, {SIDE}, {SIDE}) for any N."
        ) from error
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not (isinstance(found, tuple) and len(found) == 2 and found[0] == count and found[1] >= 2):
        raise InputError(f"returns {found} for a batch of {count}; expected logits ({count}, classes).")
    if logits.dtype not in (torch.float32, torch.float64):
        raise InputError(f"returns {logits.dtype}; expected logits of float32.")
    if not torch.equal(given, images):
        raise InputError("changes the images that it is given; expected that it leaves them as they are.")
    return logits
