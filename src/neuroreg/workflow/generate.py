"""Write what follows from the settings' models: config.yaml, its schema and its reference, the table of attacks.

``python -m neuroreg.workflow.generate`` writes them all; a test compares.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from neuroreg.files.storage import write_text
from neuroreg.robustness.attacks.registry import ATTACK_METHODS
from neuroreg.robustness.settings import AdversarialSettings
from neuroreg.settings import models_in
from neuroreg.workflow.config import Config

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "make generate"
LONGEST = 110  # columns of config.yaml
_HEADER = f"""\
# The embedded default: every stage does real work at small size, in minutes on two cores and without a network.
# Images are real (handwritten digits, photographs); the scans are simulated, and every figure says so.
# What each key means stands in docs/config.md. An overlay (--configfile) changes single keys: mappings are merged,
# lists are replaced as a whole. The paper's sizes: configs/paper.yaml. Written by `{COMMAND}` from the models' defaults.
"""
_COMMENTS = {
    "sigmas": "The paper's range, and beyond it, where digits become hard: their contrast is higher than a photograph's.",
    "tightening": "Stronger attacks than the paper's, reported apart; configs/tightening.yaml has some.",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
_START, _END = "<!-- generated: attack settings -->", "<!-- end -->"


def generated_files(root: Path) -> dict[str, str]:
    """Return what each generated file should hold, by its path below `root`; parts that are not stay as they are."""
    attacks = (root / "docs/attacks.md").read_text(encoding="utf-8")
    table = f"{_START}\n{attack_table()}{_END}"
    return {
        "config.yaml": default_config(),
        "schemas/config.schema.yaml": schema(),
        "docs/config.md": reference(),
        "docs/attacks.md": re.sub(f"{_START}.*?{_END}", lambda _: table, attacks, flags=re.DOTALL),
    }


def default_config() -> str:
    """Return config.yaml: one key a line, entries of lists on one line where it is long enough."""
    lines = [_HEADER]
    scalars = True
    for name, value in _plain(Config()).items():
        scalars = scalars and not isinstance(value, dict | list)
        lines += [] if scalars else [""]
        lines += _yaml_lines(name, value, "")
    return "\n".join(lines) + "\n"


def _plain(model: BaseModel) -> dict[str, Any]:
    """Return a section as plain values; entries of lists with what was given only."""
    return {
        name: _plain(value)
        if isinstance(value, BaseModel)
        else [
            entry.model_dump(exclude_unset=True) if isinstance(entry, BaseModel) else entry for entry in value
        ]
        if isinstance(value, list)
        else value
        for name, value in model
    }


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


class _Readable(GenerateJsonSchema):
    """JSON Schema without the titles that only repeat names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: a field's name says it."""
        return False


def schema() -> str:
    """Return the JSON Schema of the config, for editors; what crosses keys it cannot say."""
    content = Config.model_json_schema(schema_generator=_Readable)
    sections = content.pop("$defs")
    for section in sections.values():
        del section["title"]
    content = {"$schema": GenerateJsonSchema.schema_dialect, **content, "$defs": sections}
    text = yaml.safe_dump(content, sort_keys=False, width=LONGEST, allow_unicode=True)
    return f"# Written by `{COMMAND}` from the models of src/neuroreg/*/settings.py.\n{text}"


def reference() -> str:
    """Return docs/config.md: a table of the keys of each section."""
    blocks = [
        "# The config's keys",
        f"Written by `{COMMAND}` from the models in `src/neuroreg/*/settings.py`. Unknown keys are refused, and all keys\n"
        "but those marked as optional must be there: config.yaml has them all, an overlay (`--configfile`) changes\n"
        "single ones. Mappings are merged, lists are replaced as a whole.",
    ]
    sections = {
        key: models for key, field in Config.model_fields.items() if (models := models_in(field.annotation))
    }
    blocks.append(_table([Config], [key for key in Config.model_fields if key not in sections]))
    for key, models in sections.items():
        blocks += [f"## {key}", Config.model_fields[key].description, _table(models)]
    entries = models_in(AdversarialSettings.model_fields["attacks"].annotation)
    blocks += ["### adversarial.attacks, adversarial.tightening", "Of each entry:", _table(entries)]
    return "\n\n".join(blocks) + "\n"


def _table(models: list[type[BaseModel]], keys: list[str] | None = None) -> str:
    """Return the table of a section, or of a list's entries, whose kinds have keys of their own."""
    properties = {model: model.model_json_schema()["properties"] for model in models}
    lines = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key in keys or dict.fromkeys(key for model in models for key in model.model_fields):
        having = [model for model in models if key in model.model_fields]
        kinds = (
            [
                next(part["const"] for part in properties[model].values() if "const" in part)
                for model in having
            ]
            if len(models) > 1
            else []
        )
        field, part = having[0].model_fields[key], properties[having[0]][key]
        meaning = " ".join(field.description.split())
        value = _value(part)
        if "const" in part:
            value = ", ".join(f"`{kind}`" for kind in kinds)
            meaning = " ".join(
                f"{kind}: {' '.join(model.model_fields[key].description.split())}"
                for kind, model in zip(kinds, having, strict=True)
            )
        elif len(having) < len(models):
            meaning = f"Of {' and '.join(kinds)}: {meaning}"
        lines.append(f"| `{key}` | {value} | {_default(field)} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if field.is_required() or models_in(field.annotation):
        return "config.yaml" if not field.is_required() and default else ""
    return f"`{_flow(default)}`"


def _value(part: Mapping) -> str:
    """Return in words which values a JSON schema allows."""
    if "anyOf" in part:
        return " or ".join(map(_value, part["anyOf"]))
    if "enum" in part:
        return ", ".join(f"`{option}`" for option in part["enum"])
    if part.get("type") == "array":
        return f"list: {_value(part['items'])}"
    words = {"integer": "whole number", "boolean": "true or false", "string": "text", "object": "mapping"}
    kind = words.get(part.get("type"), part.get("type", "entry"))
    bounds = [f"{relation} {part[name]:g}" for name, relation in _BOUNDS.items() if name in part]
    return ", ".join([kind, *bounds])


def attack_table() -> str:
    """Return the table of all attacks' settings in docs/attacks.md."""
    lines = [
        "| method | minimises | setting | default | range | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, method in ATTACK_METHODS.items():
        for setting, spec in method.settings.items():
            lines.append(
                f"| `{name}` | {method.norm.capitalize()} | `{setting}` | {spec.default:.4g} "
                f"| {spec.low:g} to {spec.high:g} | {spec.meaning} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path, text in generated_files(ROOT).items():
        write_text(ROOT / path, text)
