"""One way between a frozen dataclass and an HDF5 file.

The class says, once, what its file holds: its ``KIND`` and, through `dataset`, where each field stands, and
of which type and shape it is. Shapes name their dimensions; one name is one size in the whole file.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from neuroreg.errors import InputError, naming
from neuroreg.files.storage import open_h5, read_strings, write_h5

Record = TypeVar("Record")


@dataclass(frozen=True)
class _Dataset:
    path: str
    dtype: type[np.generic]
    shape: tuple[str | int, ...]
    names: tuple[str, ...]
    optional: bool
    pack: Callable[[Any], Any]
    unpack: Callable[[np.ndarray], Any]

    def places(self) -> dict[str | None, str]:
        """Return the path of each member of a group, or of the only dataset, under None."""
        return {name: f"{self.path}/{name}" for name in self.names} or {None: self.path}


_Found = tuple[str, _Dataset, np.ndarray]  # a dataset's path, its description and content


def dataset(
    path: str,
    dtype: type[np.generic],
    *shape: str | int,
    names: tuple[str, ...] = (),
    optional: bool = False,
    pack: Callable[[Any], Any] = lambda value: value,
    unpack: Callable[[np.ndarray], Any] = lambda array: array,
    **options: Any,
) -> Any:
    """Return a dataclass field that is one dataset of a file, or a group of equal ones.

    Parameters
    ----------
    path
        Its name in the file, with ``/`` for groups.
    dtype
        A scalar type of NumPy; an abstract one, such as `numpy.integer`, takes all of its kind.
    shape
        Sizes, as numbers or as names; none for a number, which is read as Python's.
    names
        Makes the field a mapping from these names to arrays of this type and shape, each at ``path/name``.
    optional
        Whether None is a value, of which the file holds nothing.
    pack, unpack
        From the field's value to an array and back, where it is none.
    options
        As in `dataclasses.field`.
    """
    described = _Dataset(path, dtype, shape, names, optional, pack, unpack)
    return field(metadata={"dataset": described}, **options)


def config_field() -> Any:
    """Return a dataclass field, a mapping, that is the file's ``config``."""
    return field(default_factory=dict, metadata={"config": True})


def _datasets(cls: type) -> dict[str, _Dataset]:
    return {f.name: f.metadata["dataset"] for f in fields(cls) if "dataset" in f.metadata}


def _config_field(cls: type) -> str | None:
    return next((f.name for f in fields(cls) if "config" in f.metadata), None)


def describe_fields(cls: type) -> Iterator[tuple[str, str, str, str]]:
    """Yield what a record's file holds: field, dataset (or group of equal ones), type, shape; as texts.

    An optional dataset's type says so; a number has the shape ``()``.
    """
    for name, described in _datasets(cls).items():
        place = described.path + (f"/{{{', '.join(described.names)}}}" if described.names else "")
        kind = "any integer" if described.dtype is np.integer else _type_name(described.dtype)
        optional = ", or not there" if described.optional else ""
        yield name, place, kind + optional, _shape_text(described.shape)


def write_record(
    path: str | Path,
    record: object,
    *,
    config: Mapping | None = None,
    inputs: Iterable[str | Path] | Mapping[str, str] = (),
) -> None:
    """Write a record to a new file, atomically.

    Parameters
    ----------
    path
        Where to write. Nothing is left there if writing fails.
    record
        Of a class with fields as of `dataset`.
    config, inputs
        As in `storage.write_h5`. A record that holds its config itself takes none besides.

    Raises
    ------
    InputError
        If an array is not of the type and shape that the record's class says.
    TypeError
        If the record and the call both have a config.
    """
    arrays = list(_arrays(record))
    _check(record.KIND, arrays)
    own = _config_field(type(record))
    if own and config is not None:
        raise TypeError(f"a {record.KIND} has its config in '{own}'; expected no other one")
    datasets = {place: array for place, _, array in arrays}
    write_h5(path, record.KIND, datasets, config=getattr(record, own) if own else config, inputs=inputs)


def read_record(path: str | Path, cls: type[Record]) -> Record:
    """Return the record of class `cls` that `write_record` wrote.

    Raises
    ------
    InputError
        If the file is missing, unreadable, of another kind, incomplete, or its content does not fit.
    """
    values = read_fields(path, cls)
    with naming(path):
        return cls(**values)


def read_fields(path: str | Path, cls: type, names: Collection[str] | None = None) -> dict[str, Any]:
    """Return some fields of a record by name, all by default, without reading the others.

    Raises
    ------
    InputError
        As `read_record`, but for what only the whole record can check.
    """
    datasets = {name: one for name, one in _datasets(cls).items() if names is None or name in names}
    values: dict[str, Any] = {}
    read: list[_Found] = []
    with open_h5(path, cls.KIND) as file:
        for name, described in datasets.items():
            arrays = {}
            for member, place in described.places().items():
                stored = file.get(place)
                if stored is None and described.optional:
                    continue
                if not isinstance(stored, h5py.Dataset):
                    expected = ", ".join(one.path for one in datasets.values())
                    raise InputError(f"{path}: no dataset '{place}'; expected {expected}.")
                text = described.dtype is np.str_ and h5py.check_string_dtype(stored.dtype)
                arrays[member] = np.asarray(read_strings(stored) if text else stored[()])
                read.append((place, described, arrays[member]))
            values[name] = arrays if described.names else arrays.get(None)
        config = _config_field(cls)
        if config and names is None:
            values[config] = read_mapping(path, file, "config")
    with naming(path):
        _check(cls.KIND, read)
    for name, described in datasets.items():
        if values[name] is None:
            continue
        try:
            values[name] = described.unpack(values[name]) if described.shape else values[name].item()
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path}: dataset '{described.path}' holds what cannot be read ({error})."
            ) from error
    return values


def read_mapping(path: str | Path, file: h5py.File, name: str) -> dict:
    """Return what an attribute of a file holds as JSON, such as its ``config`` or ``inputs``.

    Raises
    ------
    InputError
        If it is not there, no JSON, or no object.
    """
    try:
        content = json.loads(file.attrs[name])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: attribute '{name}' is missing or no JSON; expected what made it."
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: attribute '{name}' is a {type(content).__name__}; expected an object.")
    return content


def _arrays(record: object) -> Iterator[_Found]:
    for name, described in _datasets(type(record)).items():
        value = getattr(record, name)
        if value is None and described.optional:
            continue
        for member, place in described.places().items():
            array = described.pack(value if member is None else value[member])
            # An empty tuple of texts would be an array of numbers.
            texts = described.dtype is np.str_ and not isinstance(array, np.ndarray)
            yield place, described, np.asarray(array, np.str_ if texts else None)


def check_record(record: object) -> None:
    """Check that all arrays of a record are of the types and shapes that its class says, for `__post_init__`.

    Raises
    ------
    InputError
        If one is not, with what it is and what was expected.
    """
    _check(record.KIND, list(_arrays(record)))


def _check(kind: str, arrays: list[_Found]) -> None:
    votes: dict[str, Counter] = {}
    for _, described, array in arrays:
        if array.ndim == len(described.shape):
            for size, found in zip(described.shape, array.shape, strict=True):
                votes.setdefault(size, Counter())[found] += 1
    # The size that most arrays have, of equally many the first.
    sizes = {name: counts.most_common(1)[0][0] for name, counts in votes.items() if isinstance(name, str)}
    for place, described, array in arrays:
        expected = tuple(sizes.get(size, size) for size in described.shape)
        if array.shape != expected or not np.issubdtype(array.dtype, described.dtype):
            name = place.replace("/", " ")
            found = f"{_type_name(array.dtype.type)} {array.shape}"
            wanted = f"{_type_name(described.dtype)} {_shape_text(expected)}"
            raise InputError(f"{kind}: {name} {found}; expected {wanted}.")
        if array.dtype.kind == "U":
            unstorable = next((text for text in array.ravel().tolist() if not _is_storable(text)), None)
            if unstorable is not None:
                name = place.replace("/", " ")
                raise InputError(
                    f"{kind}: {name} {unstorable!r}; expected text that UTF-8 can hold, no zero."
                )


def _is_storable(text: str) -> bool:
    """Say whether HDF5 can hold a text: no zero byte, no half of a pair of surrogates."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _type_name(dtype: type[np.generic]) -> str:
    return dtype.__name__.removesuffix("_")


def _shape_text(shape: tuple[str | int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
