"""Ways to damage a good file, whatever is in it."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file


def any_file(path):
    """Yield name and deed for what may become of any file."""
    content = path.read_bytes() if path.is_file() else b""
    yield "missing", path.unlink
    yield "empty", lambda: path.write_bytes(b"")
    yield "cut in half", lambda: path.write_bytes(content[: len(content) // 2])
    yield "zeros", lambda: path.write_bytes(bytes(len(content)))
    yield "a web page", lambda: path.write_text("<!DOCTYPE html><html><body>404</body></html>")
    yield "other bytes", lambda: path.write_bytes(bytes(range(256)) * 8)
    yield "a folder", lambda: (path.unlink(), path.mkdir())


def hdf5(path):
    """Yield name and deed for each dataset and attribute of an HDF5 file."""

    def in_file(deed):
        def change():
            with h5py.File(path, "r+") as file:
                deed(file)

        return change

    def put(name, values):
        def deed(file):
            del file[name]
            if values is not None:
                file[name] = values

        return in_file(deed)

    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
        attributes = list(file.attrs)
    for name, values in found.items():
        values = np.asarray(values)
        yield f"{name} missing", put(name, None)
        yield f"{name} a group", in_file(lambda file, name=name: (file.pop(name), file.create_group(name)))
        yield f"{name} with a dimension more", put(name, values[None])
        if values.dtype.kind == "O":
            yield f"{name} numbers", put(name, np.zeros(values.shape))
            yield f"{name} not UTF-8", put(name, np.full(values.shape, b"caf\xe9"))
        else:
            yield f"{name} text", put(name, np.full(values.shape, b"x"))
        if values.dtype.kind == "f" and values.size:
            yield f"{name} NaN", put(name, np.full_like(values, np.nan))
        if values.ndim and len(values):
            yield f"{name} one too few", put(name, values[:-1])
            yield f"{name} empty", put(name, values[:0])
    for name in attributes:
        yield f"attribute {name} missing", in_file(lambda file, name=name: file.attrs.pop(name))
        yield f"attribute {name} a number", in_file(lambda file, name=name: file.attrs.create(name, 7.5))
        yield f"attribute {name} a list", in_file(lambda file, name=name: file.attrs.create(name, "[1]"))


def safetensors(path):
    """Yield name and deed for some tensors and each text of a file of safetensors."""
    with safe_open(path, "pt") as file:
        tensors, texts = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    for name in sorted(tensors)[:: 1 + len(tensors) // 12]:
        rest = {other: tensor for other, tensor in tensors.items() if other != name}
        yield f"{name} missing", lambda rest=rest: save_file(rest, path, texts)
        for what, change in (
            ("with a dimension more", lambda tensor: tensor[None]),
            ("NaN", lambda tensor: torch.full(tensor.shape, torch.nan)),
        ):
            changed = rest | {name: change(tensors[name]).contiguous()}
            yield f"{name} {what}", lambda changed=changed: save_file(changed, path, texts)
    for name in texts:
        for what, text in (("missing", None), ("a list", "[1]"), ("no JSON", "{"), ("a number", "7.5")):
            others = {other: value for other, value in texts.items() if other != name}
            changed = others if text is None else others | {name: text}
            yield f"text {name} {what}", lambda changed=changed: save_file(tensors, path, changed)


def json_file(path):
    """Yield name and deed for each key of a JSON file and the objects in it."""
    content = json.loads(path.read_text())
    for what, other in (("a list", []), ("nothing", None), ("a text", "x"), ("deep", None)):
        text = "[" * 100_000 if what == "deep" else json.dumps(other)
        yield f"the whole {what}", lambda text=text: path.write_text(text)

    def places(value, place=()):
        for key, part in value.items():
            yield (*place, key)
            if isinstance(part, dict):
                yield from places(part, (*place, key))

    def changed(place, deed):
        def change():
            copy = json.loads(json.dumps(content))
            inner = copy
            for key in place[:-1]:
                inner = inner[key]
            deed(inner, place[-1])
            path.write_text(json.dumps(copy))

        return change

    for place in places(content):
        name = ".".join(place)
        yield f"{name} missing", changed(place, lambda inner, key: inner.pop(key))
        for what, other in (
            ("a text", "x"),
            ("a number", 7.5),
            ("nothing", None),
            ("a list of texts", ["x"]),
        ):
            yield f"{name} {what}", changed(place, lambda inner, key, other=other: inner.update({key: other}))


def csv(path):
    """Yield name and deed for each column of a CSV file without quotes."""
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]

    def write(lines):
        return lambda: path.write_text("\n".join(map(",".join, lines)) + "\n")

    yield "the head alone", write([head])
    yield "without a head", write(rows)
    yield "a row with a value more", write([head, *rows[:-1], [*rows[-1], "1", "2"]])
    for index, name in enumerate(head):
        yield f"{name} missing", write([line[:index] + line[index + 1 :] for line in (head, *rows)])
        yield f"{name} of texts", write([head, *([*r[:index], "x", *r[index + 1 :]] for r in rows)])
        yield f"{name} empty", write([head, *([*r[:index], "", *r[index + 1 :]] for r in rows)])
        yield f"{name} with a gap", write([head, [*rows[0][:index], "", *rows[0][index + 1 :]], *rows[1:]])


FORMS = {".h5": hdf5, ".safetensors": safetensors, ".json": json_file, ".csv": csv}


def damages(path):
    """Yield name and deed for all ways to damage a file; each deed needs the good file there."""
    path = Path(path)
    yield from any_file(path)
    if path.suffix in FORMS:
        yield from FORMS[path.suffix](path)


def restore(path, content):
    """Put a good file back in place of whatever is there."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)
    os.utime(path)
