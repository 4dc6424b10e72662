"""How files are written and read: atomically, self-describing, refused with a reason when they do not fit."""

import csv
import json
import math
import os
import re
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from io import StringIO
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from neuroreg import __version__
from neuroreg.errors import InputError
from neuroreg.files.content import files_below, listing_digest, sha256_of_file
from neuroreg.files.forms import check_form
from neuroreg.files.h5_stream import H5Stream
from neuroreg.files.kinds import describe, head
from neuroreg.files.refusals import writing_note

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2
NAMES = ("model", "label", "attack", "scan", "other")  # columns of tables that are text


@contextmanager
def atomic_path(path: str | Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` on success, delete it on an exception.

    The exception is given a note of `path` and, if it is known, of how many bytes the file was to have.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        error.add_note(writing_note(path, size))
        raise


def sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes; of a folder, that of its files' names and digests.

    What counts of a folder: see `content.files_below`.
    """
    path = Path(path)
    if path.is_dir():
        files = files_below(path)
        return listing_digest((file.relative_to(path).as_posix(), sha256_of_file(file)) for file in files)
    return sha256_of_file(path)


@contextmanager
def new_h5(path: str | Path, size: int | None = None) -> Iterator[h5py.File]:
    """Yield a new HDF5 file, which stands at `path` when the block ends well; `size` as in `atomic_path`.

    Raises
    ------
    OSError
        If the system refuses to write it, at the end of the block.
    """
    with (
        atomic_path(path, size) as partial,
        closing(H5Stream(partial)) as stream,
        h5py.File(stream, "w") as file,
    ):
        yield file


def write_h5(
    path: str | Path,
    kind: str,
    datasets: Mapping[str, np.ndarray],
    *,
    config: Mapping | None = None,
    inputs: Iterable[str | Path] | Mapping[str, str] = (),
) -> None:
    """Write `datasets` to a new HDF5 file that says what it is, what made it and from what.

    Parameters
    ----------
    path
        Where to write. Nothing is left there if writing fails.
    kind
        What the file holds, e.g. ``"scan"``; checked by `open_h5`.
    datasets
        Name (with ``/`` for groups) to array. Arrays of str are stored as variable-length UTF-8.
    config
        The settings that made the content, stored as JSON.
    inputs
        Files and folders that the content was made from; their names and SHA-256 are stored, see `digests`.
        Where these are known already, what that returned.
    """
    arrays = {name: np.asarray(values) for name, values in datasets.items()}
    attributes = {
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "created_by": f"neuroreg {__version__}",
    } | _origin(config, inputs)
    with new_h5(path, sum(values.nbytes for values in arrays.values())) as file:
        file.attrs.update(attributes)
        for name, values in arrays.items():
            if values.dtype.kind == "U":
                file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
            else:
                file.create_dataset(name, data=values)


def digests(paths: Iterable[str | Path]) -> dict[str, str]:
    """Return the SHA-256 of files and folders by their names, see `sha256`.

    Of paths that end in the same name as much is taken as tells them apart: ``stimuli.h5`` and
    ``scans/stimuli.h5``. What lies above stays out, so that the same files have the same names in any place.
    """
    given = list(dict.fromkeys(map(Path, paths)))
    names = {path: path.parts[-1:] for path in given}
    for length in range(2, max((len(path.parts) for path in given), default=0) + 1):
        times = Counter(names.values())
        names = {path: path.parts[-length:] if times[name] > 1 else name for path, name in names.items()}
    return {"/".join(name): sha256(path) for path, name in names.items()}


def known_input(path: str | None, digest: str | None) -> dict[str, str]:
    """Return what `digests` would of one path whose digest is known already; nothing if it is None."""
    return {Path(path).name: digest} if path and digest else {}


def _origin(config: Mapping | None, inputs: Iterable[str | Path] | Mapping[str, str]) -> dict[str, str]:
    """Return the attributes that say what made a file and from what."""
    found = dict(inputs) if isinstance(inputs, Mapping) else digests(inputs)
    return {
        name: json.dumps(part, sort_keys=True) for name, part in (("config", config or {}), ("inputs", found))
    }


def was_made_from(
    path: str | Path, kind: str, *, config: Mapping, inputs: Iterable[str | Path] | Mapping[str, str]
) -> bool:
    """Return whether `write_h5` wrote a file with these settings and from inputs of these bytes.

    `inputs` as `write_h5` takes them. False too where there is no such file or it is unreadable.
    """
    try:
        with open_h5(path, kind) as file:
            return all(file.attrs.get(name) == text for name, text in _origin(config, inputs).items())
    except InputError:
        return False


@contextmanager
def open_foreign_h5(path: str | Path, expected: str) -> Iterator[h5py.File]:
    """Open any HDF5 file for reading.

    Parameters
    ----------
    path
        The file.
    expected
        What it should be, for the message.

    Raises
    ------
    InputError
        If the file is missing, is not HDF5, or is truncated, or if reading it in the block shows damage.
    OSError
        If the system refuses it: rights, locks, a failing disk.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected {expected}.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if error.errno is not None:
            # With the name of the file, which HDF5 leaves out.
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise InputError(f"{path}: {_unreadable(str(error), path)}; expected {expected}.") from error
    with file, undamaged(path, expected):
        yield file


@contextmanager
def undamaged(path: str | Path, expected: str) -> Iterator[None]:
    """Make what h5py raises on a damaged file, which is of many types, bad input.

    Raises
    ------
    InputError
        In its place.
    """
    try:
        yield
    except Exception as error:
        # The system's own errors stay what they are; other code's errors do not start in h5py.
        own = isinstance(error, MemoryError) or getattr(error, "errno", None) is not None
        if own or "h5py" not in Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts:
            raise
        raise InputError(
            f"{path}: cannot be read to the end ({_reason(error)}); expected {expected}, undamaged."
        ) from error


def _reason(error: Exception) -> str:
    """Return what HDF5 gives as the cause, the last parenthesis of its text."""
    match = re.search(r"\(([^()]+)\)\W*$", (str(error).splitlines() or [""])[0])
    return match[1] if match else type(error).__name__


def _unreadable(text: str, path: Path) -> str:
    """Return what is wrong with a file, by HDF5's text for it."""
    if "already open" in text:
        return (
            "was not closed by the program that wrote it, or is open there "
            f"(if not, 'h5clear -s {path.name}' says that it is closed)"
        )
    if "truncated" in text:
        return "is a truncated HDF5 file"
    kind = describe(head(path))
    told = "" if kind in ("a file of unknown kind", "a text file") else f" but {kind}"
    return f"is not a readable HDF5 file{told}"


@contextmanager
def open_h5(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open a file written by `write_h5` for reading, after checking that it is of the given `kind`.

    Raises
    ------
    InputError
        If the file is missing, unreadable, of another kind or of another schema version.
    """
    expected = f"a neuroreg file of kind '{kind}'"
    with open_foreign_h5(path, expected) as file:
        found = file.attrs.get("kind")
        if not isinstance(found, str) or found != kind:
            what = "has no kind" if found is None else f"is of kind '{found}'"
            raise InputError(f"{path}: {what}; expected {expected}.")
        version = file.attrs.get("schema_version", 0)
        if not np.array_equal(version, SCHEMA_VERSION):
            raise InputError(f"{path}: schema version {version}; expected version {SCHEMA_VERSION}.")
        yield file


def read_strings(dataset: h5py.Dataset) -> np.ndarray:
    """Return a dataset of strings as an array of str, shape as stored."""
    return np.asarray(dataset.asstr()[()], dtype=np.str_)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Mapping) -> None:
    """Write `content` as indented, strict JSON with sorted keys, atomically; NaN becomes null.

    Raises
    ------
    ValueError
        If a number is infinite: JSON has none.
    """
    text = json.dumps(_without_nan(content), indent=1, sort_keys=True, allow_nan=False)
    write_text(path, text + "\n")


def _without_nan(content: object) -> object:
    match content:
        case float() if math.isnan(content):
            return None
        case Mapping():
            return {name: _without_nan(value) for name, value in content.items()}
        case list() | tuple():
            return [_without_nan(value) for value in content]
    return content


def read_json(path: str | Path, form: Mapping | None = None) -> dict:
    """Return the content of a JSON file, an object.

    Parameters
    ----------
    path
        The file.
    form
        What it must hold, as `forms.check_form` takes it; anything by default.

    Raises
    ------
    InputError
        If the file is missing, is not JSON, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a JSON file.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}).") from error
    check_form(path, content, {} if form is None else form)
    return content


def read_csv(path: str | Path, columns: Iterable[str] = (), numbers: Iterable[str] = ()) -> "pd.DataFrame":
    """Return a CSV file's table; names stay text, so that a model may be called ``none`` or ``20``.

    Parameters
    ----------
    path
        The file.
    columns, numbers
        Columns that it must have; those of `numbers` hold numbers, or nothing, whatever they are called.

    Raises
    ------
    InputError
        If the file is missing, empty, no CSV, or lacks one of these columns.
    """
    import pandas as pd  # slow to import, and few jobs need it

    try:
        numbers = list(numbers)
        texts = dict.fromkeys(set(NAMES).difference(numbers), str)
        # A model may be called nan as well.
        missing = {name: [""] if name in texts else ["", "nan", "NaN"] for name in pd.read_csv(path, nrows=0)}
        table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=missing)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected a CSV table.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable table ({error}); expected CSV.") from error
    for name in dict.fromkeys([*columns, *numbers]):
        if name not in table:
            listed = ", ".join(map(str, table)) or "(none)"
            raise InputError(f"{path}: has the columns {listed}; expected also {name}.")
        if name in numbers and len(table) and not pd.api.types.is_numeric_dtype(table[name]):
            raise InputError(f"{path}: column {name} holds other than numbers; expected numbers.")
    return table


def write_csv(path: str | Path, table: "pd.DataFrame | Mapping[str, Iterable] | Sequence[Mapping]") -> None:
    """Write a table, columns by name or rows with the same keys atomically: no index, missing values empty.

    Columns and rows, of Python's or NumPy's numbers, yes or no, and texts, become the bytes that pandas makes
    of them, without its import, which is slow; of float32 that is so in arrays alone, not beside others in a
    list. Missing are None and NaN.

    Raises
    ------
    ValueError
        If rows have different keys, or columns different lengths.
    """
    if isinstance(table, Sequence):
        names = list(table[0]) if table else []
        if any(row.keys() != table[0].keys() for row in table):
            raise ValueError(f"{path}: rows have different keys; expected the same of all.")
        table = {name: [row[name] for row in table] for name in names}
    if not isinstance(table, Mapping):
        with atomic_path(path) as partial:
            table.to_csv(partial, index=False)
        return
    content = StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*map(_cells, table.values()), strict=True))
    write_text(path, content.getvalue())


def _cells(column: Iterable) -> list:
    """Return a column with None for what is missing; numbers as floats if one is, or if one is missing."""
    values = [None if value is None or value != value else value for value in column]
    there = [value for value in values if value is not None]
    whole = all(isinstance(value, Integral) for value in there)
    if (whole and there == values) or not all(_is_number(value) for value in there):
        return values
    return [float(value) if isinstance(value, Integral) else value for value in values]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
