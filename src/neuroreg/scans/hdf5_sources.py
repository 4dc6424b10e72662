"""Why the content of an HDF5 file may be elsewhere, or packed by a filter that is not installed.

HDF5 itself gives zeros for what a virtual dataset's missing source, or a missing external file, should hold.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from neuroreg.errors import InputError
from neuroreg.files.unpacking import check_unpacked

_DEEPEST = 20
_UNPACKED = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_SZIP: "szip",
    h5py.h5z.FILTER_NBIT: "nbit",
    h5py.h5z.FILTER_SCALEOFFSET: "scaleoffset",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32015: "zstd",
    32026: "blosc2",
}


def missing_target(file: h5py.File, name: str) -> str | None:
    """Return where a link leads that something of this name should be behind; None if there is no link."""
    group: h5py.Group = file
    for part in name.split("/"):
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            path = Path(file.filename).parent / link.filename
            if not path.is_file():
                return f"a link to the file '{link.filename}', which is not there"
            return f"a link to '{link.path}' in the file '{link.filename}', which leads to no dataset"
        if isinstance(link, h5py.SoftLink):
            return f"a link to '{link.path}', which leads to no dataset"
        inner = group.get(part)
        if not isinstance(inner, h5py.Group):
            return None
        group = inner
    return None


def check_content(dataset: h5py.Dataset, depth: int = 0) -> None:
    """Check that all of a dataset is there and can be unpacked; `depth` counts the virtual ones above it.

    Raises
    ------
    InputError
        If it is virtual or external and a source is missing, if a filter is, or if it unpacks to far more
        than is stored.
    """
    name = (dataset.name or "").lstrip("/")
    if not dataset.is_virtual and dataset.size:
        check_unpacked(
            f"dataset '{name}'", dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
        )
    if depth > _DEEPEST:
        raise InputError(f"dataset '{name}' is virtual, of itself in the end; expected values.")
    folder = Path(dataset.file.filename).parent
    for file, source in _virtual_sources(dataset):
        path = Path(dataset.file.filename) if file == "." else folder / file
        # HDF5 looks beside the file first, then in the working directory.
        path = path if path.is_file() else Path(file)
        found = None
        if path.is_file():
            with h5py.File(path, "r") as opened:
                found = opened.get(source)
                if isinstance(found, h5py.Dataset):
                    check_content(found, depth + 1)
        if not isinstance(found, h5py.Dataset):
            lacking = f"file '{file}'" if not path.is_file() else f"dataset '{source}' of file '{file}'"
            raise InputError(
                f"dataset '{name}' is virtual and its source, the {lacking}, is not there; expected it "
                "beside this file, or a copy with the values inside."
            )
    top = Path(os.path.normpath(Path.cwd() / folder))
    for file, start, size in dataset.external or ():
        # HDF5 takes any file's bytes for values, and zeros for those that are not there.
        path = next((place for place in (folder / file, Path(file)) if place.is_file()), None)  # type: ignore[assignment]
        # As the names say; a link beside this file may lead where it will.
        if not Path(os.path.normpath(top / file)).is_relative_to(top):
            lacking = "outside this file's folder"
        elif path is None:
            lacking = "which is not there"
        elif size != h5py.h5f.UNLIMITED and path.stat().st_size < start + size:
            lacking = f"which ends after {path.stat().st_size} of {start + size} bytes"
        else:
            continue
        raise InputError(
            f"dataset '{name}' keeps its values in the file '{file}', {lacking}; expected it complete beside "
            "this file."
        )
    plist = dataset.id.get_create_plist()
    for index in range(plist.get_nfilters()):
        number, _, _, text = plist.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            called = _UNPACKED.get(number) or text.decode(errors="replace") or "unknown"
            raise InputError(
                f"dataset '{name}' is packed with the filter {called} ({number}), which is not installed; "
                "expected gzip, lzf or none (h5repack makes such a copy where the filter is installed)."
            )


def source_files(path: str | Path) -> list[Path]:
    """Return the other files that hold content of an HDF5 file: behind links, virtual or external datasets.

    Each once, sorted; those that are not there, or of a file that cannot be opened, are left out.
    """
    found: set[Path] = set()
    pending = [Path(path)]
    while pending:
        place = pending.pop()
        try:
            with h5py.File(place, "r") as file:
                names = set(_named_files(file, set()))
        except (OSError, RuntimeError, KeyError):  # no HDF5, damaged or open elsewhere: its reader says so
            continue
        for name in names:
            beside = place.parent / name
            source = beside if beside.is_file() else Path(name)
            if source.is_file() and source not in found and source != Path(path):
                found.add(source)
                pending.append(source)
    return sorted(found)


def _named_files(group: h5py.Group, seen: set[int]) -> Iterator[str]:
    """Yield the names of the other files that a group speaks of, at any depth."""
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield link.filename
        elif isinstance(link, h5py.HardLink):
            inner = group[name]
            place = h5py.h5o.get_info(inner.id).addr
            if place in seen:
                continue
            seen.add(place)
            if isinstance(inner, h5py.Group):
                yield from _named_files(inner, seen)
            elif isinstance(inner, h5py.Dataset):
                yield from (file for file, _ in _virtual_sources(inner) if file != ".")
                yield from (file for file, _, _ in inner.external or ())


def _virtual_sources(dataset: h5py.Dataset) -> list[tuple[str, str]]:
    """Return file and dataset of each source; those of a numbered pattern are only as many as there are."""
    if not dataset.is_virtual:
        return []
    sources = {(source.file_name, source.dset_name) for source in dataset.virtual_sources()}
    return sorted(pair for pair in sources if "%b" not in "".join(pair))
