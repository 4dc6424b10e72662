"""What users bring: that it is there, and what it holds."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from neuroreg.errors import InputError
from neuroreg.files.content import content_digest, listing_digest
from neuroreg.files.kinds import head, is_hdf5
from neuroreg.files.storage import read_json
from neuroreg.scans.hdf5_sources import source_files
from neuroreg.workflow.grid import network_file

MEMORY = ".snakemake/neuroreg"
"""Where digests of what users bring are remembered, below the working directory."""
_SKEW = 60  # seconds that clocks of a machine and of its file server may differ by


class Brought(NamedTuple):
    """A file or folder that the config names.

    Attributes
    ----------
    key
        Where in the config.
    path
        The file or folder.
    what
        What it should be, for messages.
    form
        ``"file"``, ``"folder"`` or ``"file or folder"``.
    """

    key: str
    path: str
    what: str
    form: str


def brought(config: Mapping) -> Iterator[Brought]:
    """Yield what a valid config names of the user's, but for what is compared with known checksums."""
    for index, scan in enumerate(config["scans"]):
        if scan["source"] == "recorded":
            yield Brought(f"scans[{index}].path", scan["path"], "a recorded scan", "file or folder")
    for index, target in enumerate(config["targets"]):
        if path := target.get("weights"):
            yield Brought(f"targets[{index}].weights", path, "weights of VGG19", "file")
        if target["kind"] == "given":
            yield Brought(f"targets[{index}].path", target["path"], "a similarity matrix", "file")
    for index, model in enumerate(config["models"]):
        seeds = config["conditions"]["seeds"] if model["name"] in config["conditions"]["models"] else ()
        # The same path for each where it has no seed in it.
        for path in dict.fromkeys(filter(None, (network_file(model, seed) for seed in seeds))):
            yield Brought(f"models[{index}].path", path, "an exported network", "file")
    for section in ("classification", "stimuli"):
        if config[section]["source"] == "image_folder":
            path = config[section]["path"]
            yield Brought(f"{section}.path", path, "a folder of images", "folder")


def content_of(config: Mapping, key: str, path: str | None = None) -> str | None:
    """Return the digest of what the config names under `key`, None if that is nothing of the user's.

    Of several files under a key, the one at `path`.

    Found once in a process; see `neuroreg.files.content.content_digest`. Of a folder of images counts what is
    read, of an HDF5 file also what it keeps in others.

    Raises
    ------
    InputError
        If a folder of images cannot be listed.
    OSError
        If the system refuses to read something.
    """
    named = (one for one in brought(config) if one.key == key)
    found = next((one for one in named if path in (None, one.path)), None)
    return found and _content(found.key, found.path)


def check_copies(config: Mapping) -> None:
    """Check that the networks of a model's seeds, where they were trained elsewhere, are not one.

    Raises
    ------
    InputError
        With the first two files that hold the same.
    """
    seen: dict[tuple[str, str | None], str] = {}
    for one in brought(config):
        if one.key.startswith("models["):
            content = one.key, content_of(config, one.key, one.path)
            if (other := seen.setdefault(content, one.path)) != one.path:
                raise InputError(
                    f"config key '{one.key}': '{other}' and '{one.path}' are the same; expected a network of "
                    "its own for each seed."
                )


@cache
def _content(key: str, path: str) -> str:
    images = _images(key)
    if images:
        return content_digest(path, MEMORY, images)
    digest = content_digest(path, MEMORY)
    sources = source_files(path) if Path(path).is_file() and is_hdf5(head(path)) else []
    if not sources:
        return digest
    return listing_digest(
        [("", digest), *((source.name, content_digest(source, MEMORY)) for source in sources)]
    )


def _images(key: str) -> Callable[[Path], Iterable[Path]] | None:
    """Return what lists the images that count, of a folder of images."""
    if key not in ("classification.path", "stimuli.path"):
        return None
    from neuroreg.images.folders import images_in, images_of_classes  # asks Pillow for all of its formats

    return images_of_classes if key == "classification.path" else images_in


def replaced_download(record: str | Path) -> str | None:
    """Return the digest of a downloaded file, or of a folder in its place, that is not the recorded one.

    Where it is, what was returned when the record was made, so that nothing changes by making it: None but
    after a replacement. None as well where there is no record or nothing that it stands for.
    """
    if not Path(record).is_file():
        return None
    try:
        content = read_json(record)
        place, digest = Path(content["path"]), content["sha256"]
    except (InputError, KeyError, TypeError):
        return None
    if not place.exists():
        return None
    found = content_digest(place, MEMORY)
    return content.get("replaced") if found == digest else found


def check_times(config: Mapping, results: str | Path = "results") -> None:
    """Check that no time stamp of an input or a result is in the future: Snakemake tells by them what is old.

    Raises
    ------
    InputError
        With the first that is, and the remedy.
    """
    now = time.time()
    paths = [Path(one.path) for one in brought(config)]
    paths += [path for path in sorted(Path(results).rglob("*")) if path.is_file()]
    for path in paths:
        try:
            changed = path.stat().st_mtime
        except FileNotFoundError:  # a job's that has ended
            continue
        if changed > now + _SKEW:
            told = datetime.fromtimestamp(changed).isoformat(" ", "seconds")
            raise InputError(
                f"{path}: its time stamp, {told}, is in the future; expected one that has passed: set this "
                f"machine's clock if it is wrong, else '{_remedy(path, Path(results))}'."
            )


def _remedy(path: Path, results: Path) -> str:
    if results not in path.parents:
        return f"touch {quote(str(path))}"
    # All of them to one time: of two, the later would make what rests on the other seem old.
    return f"touch .now; find {results} -newer .now -exec touch -r .now {{}} +"
