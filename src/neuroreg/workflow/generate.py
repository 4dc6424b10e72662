"""Write what follows from the code: config.yaml, its schema and reference, tables of attacks and files.

``python -m neuroreg.workflow.generate`` writes them all; a test compares.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from neuroreg.files.storage import write_text
from neuroreg.robustness.attacks.registry import ATTACK_METHODS
from neuroreg.robustness.settings import AdversarialSettings
from neuroreg.settings import Entry, Settings, models_in
from neuroreg.workflow.config import Config
from neuroreg.workflow.file_reference import file_tables

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "make generate"
LONGEST = 110  # columns of config.yaml
_HEADER = f"""\
# The embedded default: every stage does real work at small size, in minutes on two cores, without a network.
# Images are real (of photographs); the scans are simulated, and every figure says so.
# What each key means stands in docs/config.md. An overlay (--configfile) changes single keys: mappings are
# merged, lists are replaced as a whole. The paper's sizes: configs/paper.yaml.
# Written by `{COMMAND}` from the defaults in src/neuroreg/*/settings.py and src/neuroreg/workflow/config.py.
"""
_COMMENTS = {
    "sigmas": "The range of the public descendant of the authors' code, and twice as far.",
    "tightening": "Stronger attacks than the paper's, reported apart; configs/tightening.yaml has some.",
}
_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": "&gt;",
    "maximum": "≤",
    "exclusiveMaximum": "&lt;",
}
_START, _END = "<!-- generated: attack settings -->", "<!-- end -->"
_FILES_START = "<!-- generated: files -->"


def generated_files(root: Path) -> dict[str, str]:
    """Return what each generated file should hold, by its path below `root`; other text there stays."""
    attacks = (root / "docs/attacks.md").read_text(encoding="utf-8")
    files = (root / "docs/files.md").read_text(encoding="utf-8")
    return {
        "config.yaml": default_config(),
        "schemas/config.schema.yaml": schema(),
        "docs/config.md": reference(),
        "docs/attacks.md": _between(_START, attack_table(), attacks),
        "docs/files.md": _between(_FILES_START, file_tables(), files),
    }


def _between(start: str, table: str, text: str) -> str:
    """Return a text with what stands between `start` and the next end mark replaced."""
    return re.sub(f"{start}.*?{_END}", lambda _: f"{start}\n{table}{_END}", text, flags=re.DOTALL)


def default_config() -> str:
    """Return config.yaml: one key a line, entries of lists on one line where it is long enough."""
    lines = [_HEADER]
    scalars = True
    for name, value in _plain(Config()).items():
        scalars = scalars and not isinstance(value, dict | list)
        lines += [] if scalars else [""]
        lines += _yaml_lines(name, value, "")
    return "\n".join(lines) + "\n"


def _plain(value: object) -> Any:
    """Return settings as plain values; of entries of lists only what was given."""
    if isinstance(value, Entry):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, Settings):
        return {name: _plain(part) for name, part in value}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _yaml_lines(name: str, value: object, indent: str) -> Iterator[str]:
    if name in _COMMENTS:
        yield f"{indent}# {_COMMENTS[name]}"
    if isinstance(value, dict):
        yield f"{indent}{name}:"
        for key, part in value.items():
            yield from _yaml_lines(key, part, f"{indent}  ")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield f"{indent}{name}:"
        for entry in value:
            line = f"{indent}  - {_flow(entry)}"
            if len(line) <= LONGEST:
                yield line
            else:
                parts = (f"{key}: {_flow(part)}" for key, part in entry.items())
                yield f"{indent}  - " + f"\n{indent}    ".join(parts)
    else:
        yield f"{indent}{name}: {_flow(value)}"


def _flow(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


def schema() -> str:
    """Return the JSON Schema of the config, for editors; it does not say what crosses keys."""
    content = _readable(Config.model_json_schema())
    text = yaml.safe_dump(
        {"$schema": GenerateJsonSchema.schema_dialect, **content},
        sort_keys=False,
        width=10**6,  # a key a line
        default_flow_style=None,
    )
    return f"# Written by `{COMMAND}` from the models in src/neuroreg/*/settings.py.\n{text}"


def _readable(part: Any, parent: str = "") -> Any:
    """Return a JSON Schema with descriptions first, without titles and sections' defaults, which repeat."""
    if isinstance(part, list):
        return [_readable(entry) for entry in part]
    if not isinstance(part, dict):
        return " ".join(part.split()) if isinstance(part, str) else part
    if parent in ("properties", "$defs"):
        return {name: _readable(entry) for name, entry in part.items()}
    dropped = {"title", "discriminator"} | ({"default"} if "#/$defs/" in str(part) else set())
    ordered = sorted(part, key=lambda name: ("description", "type", "properties", name).index(name))
    return {name: _readable(part[name], name) for name in ordered if name not in dropped}


def reference() -> str:
    """Return docs/config.md: a table of the keys of each section."""
    default = Config()
    sections = {
        key: models for key, field in Config.model_fields.items() if (models := models_in(field.annotation))
    }
    blocks = [
        "# The config's keys",
        f"Written by `{COMMAND}` from the models in `src/neuroreg/*/settings.py`. Unknown keys are refused.\n"
        "`config.yaml` has all keys; an overlay (`--configfile`) changes single ones: mappings are merged,\n"
        "lists are replaced as a whole.",
        _table([Config], default, [key for key in Config.model_fields if key not in sections]),
    ]
    for key, models in sections.items():
        blocks += [f"## {key}", Config.model_fields[key].description, _table(models, getattr(default, key))]
    entries = models_in(AdversarialSettings.model_fields["attacks"].annotation)
    blocks += ["### adversarial.attacks, adversarial.tightening", "Of each entry:", _table(entries)]
    return "\n\n".join(blocks) + "\n"


def _table(models: list[type[Settings]], default: object = None, keys: Iterable[str] = ()) -> str:
    """Return the table of a section, or of a list's entries, whose kinds have keys of their own."""
    schemas = [model.model_json_schema() for model in models]
    lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key in keys or dict.fromkeys(key for schema in schemas for key in schema["properties"]):
        having = [schema for schema in schemas if key in schema["properties"]]
        parts = [schema["properties"][key] for schema in having]
        kinds = [
            part["const"] for schema in having for part in schema["properties"].values() if "const" in part
        ]
        meaning, value = parts[0]["description"], _value(parts[0])
        if "const" in parts[0]:
            value = ", ".join(f"`{kind}`" for kind in kinds)
            meaning = " ".join(
                f"`{kind}`: {part['description']}" for kind, part in zip(kinds, parts, strict=True)
            )
        elif len(parts) < len(models):
            meaning = f"Of {' and '.join(f'`{kind}`' for kind in kinds)}: {meaning}"
        if isinstance(default, Settings):
            found = getattr(default, key)
            told = "config.yaml" if found and "entries" in value else f"`{_flow(found)}`"
        else:
            told = "required" if key in having[0]["required"] else "optional"
        lines.append(f"| `{key}` | {value} | {told} | {' '.join(meaning.split()).replace('<', '&lt;')} |")
    return "\n".join(lines)


def _value(part: Mapping) -> str:
    """Return in words which values a JSON schema allows."""
    if "anyOf" in part:
        return ", or ".join(map(_value, part["anyOf"]))
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{option}`" for option in part["enum"])
    if part.get("type") == "array":
        return f"list of {_value(part['items'])}"
    words = {"integer": "whole number", "boolean": "true or false", "string": "text", "object": "mapping"}
    bounds = " and ".join(f"{sign} {part[name]:g}" for name, sign in _BOUNDS.items() if name in part)
    return f"{words.get(part.get('type'), part.get('type', 'entries'))} {bounds}".strip()


def attack_table() -> str:
    """Return the table of all attacks' settings in docs/attacks.md."""
    lines = [
        "| method | minimises | setting | default | range | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, method in ATTACK_METHODS.items():
        for setting, spec in method.settings.items():
            lines.append(
                f"| `{name}` | {method.norm.capitalize()} | `{setting}` | {spec.default:.6g} "
                f"| {spec.low:g} to {spec.high:g} | {spec.meaning} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path, text in generated_files(ROOT).items():
        write_text(ROOT / path, text)
