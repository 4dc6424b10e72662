"""What all settings have in common: frozen, strict, refused with a sentence that says what was expected."""

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args
from unicodedata import category

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from neuroreg.errors import InputError

_NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
_SHA256 = "^[0-9a-fA-F]{64}$"
_PATTERNS = {
    _NAME: "letters, digits, '_' and '-', starting with a letter or digit",
    _SHA256: "64 hexadecimal digits",
}
_RELATIONS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_TYPES = {
    "bool_type": "boolean",
    "dict_type": "object",
    "finite_number": "number",
    "float_type": "number",
    "int_type": "integer",
    "list_type": "array",
    "model_attributes_type": "object",
    "model_type": "object",
    "string_type": "string",
}


def problem(sentence: str, *key: str | int) -> PydanticCustomError:
    """Return what a validator raises; `key` leads from the validated value to what is at fault."""
    return PydanticCustomError("problem", "{sentence}", {"sentence": sentence, "key": key})


def _each_once(values: list) -> list:
    if len(set(values)) < len(values):
        raise problem("found repeated entries; expected each once.")
    return values


def _whole(value: object) -> object:
    if type(value) is not int:  # a Literal takes true for 1 and 3.0 for 3
        raise problem(f"found {show(value)}; expected integer.")
    return value


def _label(text: str) -> str:
    """Return a text that can be shown: on one line, and all of it to be seen."""
    # Joiners shape letters of some scripts; other marks of format turn or hide text.
    if not all(one.isprintable() or category(one) == "Zs" or one in "\u200c\u200d" for one in text):
        raise problem(f"found {show(text)}; expected one line of text without control characters.")
    if not text.strip():
        raise problem(f"found {show(text)}; expected a text that can be seen.")
    return text


_T = TypeVar("_T")
Distinct = Annotated[
    list[_T], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)
]
WholeNumbers = BeforeValidator(_whole)  # beside a Literal of numbers
Name = Annotated[str, Field(pattern=_NAME, max_length=100)]  # file names have more added, and room for 255
Label = Annotated[str, Field(max_length=100), AfterValidator(_label)]
Sha256 = Annotated[str, Field(pattern=_SHA256)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=10**15)]  # whole as a float, too, which tables may take it for
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class _Refusing(type(BaseModel)):
    """Makes a call of a class of settings raise InputError, not pydantic's ValidationError."""

    def __call__(cls, **values: Any) -> Any:
        return validate(cls, values, cls.__name__)


class Settings(BaseModel, metaclass=_Refusing):
    """A section of the config or an entry of one of its lists.

    Immutable. A docstring below a field describes its key; rewording it reruns no job. A whole number may
    stand for a float; 10.0 is no whole number, and true, NaN and infinity are no numbers at all.

    Raises
    ------
    InputError
        On construction, with one sentence for the first problem.
    """

    model_config = ConfigDict(
        allow_inf_nan=False, extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class Entry(Settings):
    """An entry of one of the config's lists."""

    name: Name
    """Of letters, digits, '_' and '-'; it becomes part of file names."""


_S = TypeVar("_S", bound=Settings)


def validate(model: type[_S], values: Mapping, what: str) -> _S:
    """Return `values` as settings.

    Parameters
    ----------
    model
        The class of the settings.
    values
        As parsed from YAML.
    what
        What a key is called in the sentence of an error, as "config key".

    Raises
    ------
    InputError
        With one sentence for the first problem: the key, what was found, what was expected.
    """
    # A misspelt key explains the missing one that it was meant to be.
    for path, sentence in _unknown_keys([model], values):
        raise InputError(f"{what} '{dotted(path)}': {sentence}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: (one["type"] == "problem", list(map(str, one["loc"]))))
    path, sentence = _explain(first, model, values)
    raise InputError(f"{what} '{dotted(path)}': {sentence}")


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as it is written in prose: models[2].alpha."""
    key = ""
    for part in path:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def show(value: object) -> str:
    """Return a value as it stands in JSON, cut where it is long."""
    text = json.dumps(value, default=str, skipkeys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."


def needed_and_unused(values: Settings, tag: str, needs: Mapping[str, str]) -> None:
    """Raise a problem if a key that the source `values.<tag>` needs is missing, or another's key is given."""
    chosen = getattr(values, tag)
    needed = needs.get(chosen)
    if needed and not getattr(values, needed):
        raise problem(f"missing; {tag} '{chosen}' needs it.", needed)
    for name in sorted(set(needs.values()) - {needed}):
        if (found := getattr(values, name)) is not None:
            raise problem(f"found {show(found)}; expected nothing, {tag} '{chosen}' does not use it.", name)


def models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the models in a field's type: of a section, of a list's entries, each kind of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def _fields(models: list[type[BaseModel]], name: object) -> list[FieldInfo]:
    return [model.model_fields[name] for model in models if name in model.model_fields]


def _below(fields: list[FieldInfo]) -> list[type[BaseModel]]:
    return [model for field in fields for model in models_in(field.annotation)]


def _unknown_keys(models: list[type[BaseModel]], value: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield path and sentence of each key that no model has; an entry's keys may be those of any kind."""
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from _unknown_keys(models, part, (*path, index))
    elif isinstance(value, Mapping) and models:
        known = sorted({name for model in models for name in model.model_fields})
        for name in sorted(set(value) - set(known), key=str):
            close = get_close_matches(str(name), known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"expected one of: {', '.join(known)}."
            yield (*path, name), f"unknown; {hint}"
        for name, part in value.items():
            yield from _unknown_keys(_below(_fields(models, name)), part, (*path, name))


def _explain(error: ErrorDetails, model: type[BaseModel], values: object) -> tuple[tuple, str]:
    """Return where pydantic's error is and the sentence that says what it means."""
    models, kinds, fields, owner, found = [model], [model], [], values, values
    path: list[str | int] = []
    for part in error["loc"]:
        if isinstance(found, list) and isinstance(part, int):
            found = found[part]
        elif isinstance(found, Mapping) and (matching := _fields(models, part)):
            kinds, fields, owner, found = models, matching, found, found.get(part)
            models = _below(fields)
        else:
            continue  # pydantic names the chosen kind of a union as well
        path.append(part)
    context = error.get("ctx", {})
    # What tells an entry's kind: the key that holds but one value in each kind.
    if error["type"].startswith("union_tag"):
        kinds, owner = models, found
    tag = next((name for name, field in kinds[0].model_fields.items() if len(_options([field])) == 1), None)
    match error["type"]:
        case "problem":
            return (*path, *context["key"]), context["sentence"]
        case "union_tag_not_found":
            return (*path, tag), "missing; expected a value."
        case "union_tag_invalid":
            return (*path, tag), _one_of(owner[tag], _fields(kinds, tag))
        case "missing" if len(fields) < len(kinds):
            sentence = f"missing; {tag} '{owner[tag]}' needs it."
        case "missing":
            sentence = "missing; expected a value."
        case "extra_forbidden":  # another kind's
            sentence = f"found {show(found)}; expected nothing, {tag} '{owner[tag]}' does not use it."
        case "literal_error":
            sentence = _one_of(found, fields)
        case "string_pattern_mismatch":
            sentence = f"found {show(found)}; expected {_PATTERNS[context['pattern']]}."
        case "string_unicode":
            sentence = f"found {show(found)}; expected text that is whole (it holds half of a character)."
        case "too_short":
            sentence = f"found {len(found)} entries; expected at least {context['min_length']}."
        case "string_too_long":
            sentence = f"found {len(found)} characters; expected at most {context['max_length']}."
        case "string_too_short":
            sentence = "found an empty text; expected a name."
        case kind if kind in _TYPES:
            nullable = isinstance(path[-1], str) and NoneType in get_args(fields[0].annotation)
            sentence = f"found {show(found)}; expected {_TYPES[kind]}{' or null' * nullable}"
            if isinstance(found, str) and _TYPES[kind] in ("number", "integer") and _is_number(found):
                sentence += f" ({_TEXT_OF_A_NUMBER['e' in found.lower()].format(found)})"
            elif _TYPES[kind] == "string" and isinstance(found, bool | int | float):
                sentence += " (write it in quotes)"
            sentence += "."
        case _:
            bounds = (
                f"{_RELATIONS[name]} {bound:g}" for name, bound in context.items() if name in _RELATIONS
            )
            sentence = f"found {show(found)}; expected {next(bounds, error['msg'])}."
    return tuple(path), sentence


def _options(fields: list[FieldInfo]) -> list:
    """Return the values of fields that are one of a few; nothing of others."""
    return [value for field in fields for value in get_args(field.annotation) if isinstance(value, str | int)]


def _one_of(found: object, fields: list[FieldInfo]) -> str:
    return f"found {show(found)}; expected one of {', '.join(map(show, _options(fields)))}."


_TEXT_OF_A_NUMBER = (
    "it is text: write it without quotes; what stands in braces on the command line is text, too, and "
    "belongs into an overlay",
    "YAML reads {} as text: write it with a decimal point, as in 1.0e-5",
)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
