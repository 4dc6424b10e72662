"""Files of safetensors, with the system's errors as they are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from neuroreg.errors import InputError
from neuroreg.files.storage import atomic_path


def write_weights(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write named tensors, of any device, atomically.

    Parameters
    ----------
    path
        A ``.safetensors`` file.
    tensors
        Name to tensor.
    metadata
        Texts by name. Of several, safetensors does not keep the order: the same content may be other bytes.
    """
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(metadata)
    )
    with atomic_path(path, len(content)) as partial:
        partial.write_bytes(content)


@contextmanager
def open_weights(path: str | Path) -> Iterator[safe_open]:
    """Open a file of safetensors.

    Raises
    ------
    OSError
        If it must not be read; safetensors itself says then that there is no such file.
    SafetensorError
        If it is damaged or something else.
    """
    Path(path).open("rb").close()
    with safe_open(path, framework="pt") as file:
        yield file


@contextmanager
def reading_weights(path: str | Path, what: str, maker: str) -> Iterator[safe_open]:
    """Open a file of safetensors of this project; what is made of it within names the file if it fails.

    Parameters
    ----------
    path
        The file.
    what, maker
        For the sentences: "trained model", "training".

    Raises
    ------
    InputError
        If the file is missing, damaged or holds something else.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; expected a {what} (.safetensors).")
    try:
        with open_weights(path) as file:
            yield file
    except (
        InputError, SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path}: not a {what} of this project ({in_short(error)}); expected a file that a {maker} "
            "wrote, undamaged."
        ) from error


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors of floats hold neither NaN nor infinities.

    Raises
    ------
    InputError
        With the name of the first that does.
    """
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise InputError(f"tensor '{name}' holds NaN or infinity; expected finite values")


def in_short(error: Exception) -> str:
    """Return what an error says on one line, at most 200 letters; of a key that is missing, that it is."""
    if isinstance(error, KeyError):
        return f"no {error}"
    text = " ".join(str(error).split()).rstrip(".:") or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def first_line(error: Exception) -> str:
    """Return the beginning of what an error says, on one line, or its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")
