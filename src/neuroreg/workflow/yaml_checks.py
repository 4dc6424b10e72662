"""What YAML makes of a config before its keys are checked: lost keys, and types that no key has."""

import datetime
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import yaml

from neuroreg.errors import InputError
from neuroreg.settings import dotted, show

_DEEPEST, _MOST = 40, 100_000
_KINDS = {
    bool: "true or false",
    bytes: "binary data",
    datetime.date: "a date",
    datetime.datetime: "a date and time",
    datetime.time: "a time",
    float: "a number",
    int: "a whole number",
    set: "a set",
    tuple: "a tuple",
    type(None): "null",
}


def check_text(path: str | Path) -> None:
    """Check that no key stands twice in one mapping of a YAML or JSON file: the first would be lost.

    Raises
    ------
    InputError
        With the key and both of its lines; or if the file is neither.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: text that is not UTF-8; expected a config saved as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise InputError(f"{path}: neither YAML nor JSON{line}; expected one of them.") from error
    seen: set[int] = set()  # what an alias stands for once more
    pending = deque([((), root)])
    while pending:
        place, node = pending.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += [((*place, index), part) for index, part in enumerate(node.value)]  # type: ignore[misc]
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue  # told by its type
                line, name = key.start_mark.line + 1, (key.tag, key.value)
                if name in lines and key.value != "<<":
                    where = dotted((*place, key.value))
                    raise InputError(
                        f"{path}: config key '{where}' in line {lines[name]} and again in line {line}; "
                        "expected it once."
                    )
                lines[name] = line
                pending.append(((*place, key.value), value))  # type: ignore[arg-type]


def check_types(config: Mapping) -> None:
    """Check that a config holds only what JSON has: texts, numbers, true, false, null, lists, mappings.

    Raises
    ------
    InputError
        With the key, what YAML has read there, and how to write it; or if aliases make it endless.
    """
    pending: list[tuple[tuple, object]] = [((), config)]
    count = 0
    while pending:
        place, value = pending.pop()
        count += 1
        if len(place) > _DEEPEST or count > _MOST:
            raise InputError(
                f"config key '{dotted(place[:3])}': more than {_DEEPEST} levels or {_MOST} values below it; "
                "expected no alias that holds itself or many others."
            )
        if isinstance(value, Mapping):
            for name in value:
                if not isinstance(name, str):
                    where = f"config key '{dotted(place)}'" if place else "config"
                    raise InputError(
                        f"{where}: found the key {show(name)}, {_kind(name)}; expected text (write it in "
                        "quotes)."
                    )
            pending += [((*place, name), part) for name, part in value.items()]
        elif isinstance(value, list):
            pending += [((*place, index), part) for index, part in enumerate(value)]
        elif value is not None and not isinstance(value, str | int | float):
            raise InputError(
                f"config key '{dotted(place)}': found {_kind(value)}, {show(value)}; expected text or a "
                "number (write it in quotes, if it is meant as text)."
            )


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")
