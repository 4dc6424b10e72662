"""What a file is and holds, in a few lines: any of the workflow's, or a scan in a format that it reads."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
from safetensors import SafetensorError, safe_open

from neuroreg.errors import InputError, naming
from neuroreg.files.kinds import head, is_hdf5
from neuroreg.files.storage import open_foreign_h5
from neuroreg.scans.readers import find_reader
from neuroreg.scans.selection import select_neurons
from neuroreg.scans.summary import summarise_scan, summary_warnings

_LONG = 200  # characters of a text that are shown


def describe_file(path: str | Path) -> list[str]:
    """Return lines that say what a file is and what is in it.

    Parameters
    ----------
    path
        A file of the workflow (HDF5: a scan, a similarity, stimuli, an attack's result; safetensors: a
        model), an exported network (.pt2), or a scan as `neuroreg.scans.readers` knows them, a file or a
        folder.

    Raises
    ------
    InputError
        If it is none of these, or is damaged.
    """
    path = Path(path)
    if path.suffix == ".safetensors" and path.is_file():
        return list(_weights(path))
    if path.suffix == ".pt2" and path.is_file():
        return list(_network(path))
    if path.is_file() and is_hdf5(head(path)):
        with open_foreign_h5(path, "HDF5") as file:
            if "kind" in file.attrs:
                return list(_own(path, file))
    return list(_scan(path))


def _own(path: Path, file: h5py.File) -> Iterator[str]:
    yield f"{path}: {file.attrs['kind']}, written by {file.attrs.get('created_by', 'an unknown program')}"
    for name in ("config", "inputs"):
        if str(text := file.attrs.get(name, "{}")) != "{}":
            yield f"  {name}: {_short(text)}"
    found = []
    file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    for name, item in found:
        kind = "str" if h5py.check_string_dtype(item.dtype) else item.dtype
        yield f"  {name}: {kind} {item.shape}"


def _weights(path: Path) -> Iterator[str]:
    try:
        with safe_open(path, framework="np") as file:
            yield f"{path}: weights"
            for name, text in sorted((file.metadata() or {}).items()):
                yield f"  {name}: {_short(text)}"
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: not readable ({error}); expected a file of safetensors.") from error
    for name, shape in sorted(shapes.items()):
        yield f"  {name}: {shape}"


def _network(path: Path) -> Iterator[str]:
    from neuroreg.training.programs import count_classes, load_program  # PyTorch takes seconds to import

    network, description = load_program(path)
    with naming(path):
        classes = count_classes(network)
    yield f"{path}: a network exported by {description.get('created_by', 'an unknown program')}"
    yield f"  gray images of 32x32 to {classes} logits"
    for name, value in description.items():
        yield f"  {name}: {_short(json.dumps(value))}"
    for name, tensor in network.module.state_dict().items():
        yield f"  {name}: {tuple(tensor.shape)}"


def _scan(path: Path) -> Iterator[str]:
    reader = find_reader(path)
    scan = reader.read(path, "drop_trials")
    yield f"{path}: a scan {reader.form}"
    trials, neurons = scan.responses.shape
    tiers = Counter(scan.tier.tolist())
    yield f"  {neurons} neurons, {len(scan.key)} images"
    yield f"  {trials} trials: {', '.join(f'{count} {tier}' for tier, count in sorted(tiers.items()))}"
    yield f"  images shown repeatedly: {len(scan.repeated_images())}"
    yield f"  columns of behavior: {scan.behavior.shape[1]}, of pupil position: {scan.pupil_center.shape[1]}"
    for warning in summary_warnings(summarise_scan(path.name, scan, select_neurons(path.name, scan))):
        yield f"  warning: {warning}"


def _short(text: str) -> str:
    """Return one line, nested JSON as it is, cut where it gets long."""
    try:
        text = json.dumps(json.loads(text), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = " ".join(str(text).split())
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."
