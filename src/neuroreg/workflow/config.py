"""Checks of the config, each failure as one sentence that names the key."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from neuroreg.download.obtain import file_name
from neuroreg.errors import InputError
from neuroreg.robustness.attacks.registry import complete_setting

# JSON Schema takes 10.0 for an integer and NaN for a number; Python's range and a loss do not.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda _, value: (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ),
    }
)
_Validator = extend(Draft202012Validator, type_checker=_TYPES)
_SCAN_NEEDS = {"simulated": "n_neurons", "recorded": "path", "download": "url"}
_SCAN_OPTIONS = {"download": ("file", "sha256")}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_TARGET_NEEDS = {"denoised": "scans", "raw": "scans", "shuffled": "of"}
_SHOWN = ("scan", "intersection", "union")  # sources of stimuli that scans have shown


def validate_config(config: Mapping, schema: Mapping) -> None:
    """Check a merged config against its schema, and the names in it against each other.

    Raises
    ------
    InputError
        With one sentence for the first problem: the key, what was found, what was expected.
    """
    errors = sorted(_Validator(schema).iter_errors(config), key=_severity)
    if errors:
        raise InputError(_sentence(errors[0]))
    for problem in _inconsistencies(config):
        raise InputError(problem)


def _severity(error: ValidationError) -> tuple:
    # A misspelt key explains the missing one that it was meant to be.
    return (error.validator != "additionalProperties", list(map(str, error.absolute_path)))


def _key(path: Iterable) -> str:
    """Return a path as it is written in prose: models[2].alpha."""
    key = ""
    for part in path:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def _sentence(error: ValidationError) -> str:
    key = _key(error.absolute_path) or "the top level"
    found, expected = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = sorted(error.schema["properties"])
            unknown = sorted(set(found) - set(known))[0]
            close = get_close_matches(str(unknown), known, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"expected one of: {', '.join(known)}."
            name = _key([*error.absolute_path, unknown])
            return f"config key '{name}': unknown; {hint}"
        case "required":
            missing = next(name for name in expected if name not in found)
            return f"config key '{_key([*error.absolute_path, missing])}': missing; expected a value."
        case "type":
            types = expected if isinstance(expected, list) else [expected]
            hint = ""
            if isinstance(found, str) and {"number", "integer"} & set(types) and _is_number(found):
                hint = f" (YAML reads {found} as text: write it with a decimal point, as in 1.0e-5)"
            return f"config key '{key}': found {_show(found)}; expected {' or '.join(types)}{hint}."
        case "enum" if key == "noise.clip" and isinstance(found, bool):
            return (
                f"config key 'noise.clip': found {_show(found)}; "
                f'expected one of "none", "unit", "image" ({_show(found)} was '
                f"{_show('unit' if found else 'none')})."
            )
        case "enum":
            options = ", ".join(_show(option) for option in expected)
            return f"config key '{key}': found {_show(found)}; expected one of {options}."
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            relation = {
                "minimum": "at least",
                "exclusiveMinimum": "more than",
                "maximum": "at most",
                "exclusiveMaximum": "less than",
            }[error.validator]
            return f"config key '{key}': found {_show(found)}; expected {relation} {expected}."
        case "pattern":
            return (
                f"config key '{key}': found {_show(found)}; expected letters, digits, '_' and '-', "
                "starting with a letter or digit."
            )
        case "minItems":
            return f"config key '{key}': found {len(found)} entries; expected at least {expected}."
        case "minLength":
            return f"config key '{key}': found an empty text; expected a name."
        case "uniqueItems":
            return f"config key '{key}': found repeated entries; expected each once."
        case _:
            return f"config key '{key}': found {_show(found)}; {error.message}."


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _inconsistencies(config: Mapping) -> Iterator[str]:
    """Yield what a schema cannot say: names that refer to nothing, sizes that do not fit."""
    attacks = {key: config["adversarial"][key] for key in ("attacks", "tightening")}
    lists = {
        "scans": config["scans"],
        "targets": config["targets"],
        "models": config["models"],
        **{f"adversarial.{key}": entries for key, entries in attacks.items()},
    }
    for key, entries in lists.items():
        for name, count in Counter(entry["name"] for entry in entries).items():
            if count > 1:
                yield f"config key '{key}': {count} entries are named '{name}'; expected different names."
    scans = {scan["name"]: scan for scan in config["scans"]}
    targets = {target["name"]: target for target in config["targets"]}
    models = {model["name"]: model for model in config["models"]}

    for index, scan in enumerate(config["scans"]):
        yield from _source_needs(f"scans[{index}]", scan, _SCAN_NEEDS)
        yield from _unused(f"scans[{index}]", scan, _SCAN_NEEDS, _SCAN_OPTIONS)
    yield from _downloads(config["scans"])
    images = {
        "stimuli": {"image_folder": "path", "scan": "scan"},
        "classification": dict.fromkeys(("cifar10", "cifar100", "image_folder"), "path"),
    }
    for key, needs in images.items():
        yield from _source_needs(key, config[key], needs)
        yield from _unused(key, config[key], needs, {})
    pool_source = config["stimuli"]["source"]
    if config["stimuli"]["pool_size"] is None and pool_source not in _SHOWN:
        yield (
            "config key 'stimuli.pool_size': found null; expected a number "
            f"where stimuli.source is '{pool_source}'."
        )
    yield from _unknown("stimuli.scan", [config["stimuli"]["scan"]], [None, *scans], "scans")
    if pool_source in _SHOWN:
        for index, scan in enumerate(config["scans"]):
            if scan["source"] == "simulated":
                yield (
                    f"config key 'scans[{index}].source': a scan can't be simulated where "
                    f"stimuli.source is '{pool_source}'; expected a recorded scan."
                )
    simulator = config["simulator"]
    if (simulator["single_trial_similarity"] is None) == (simulator["noise"] is None):
        yield (
            f"config key 'simulator.noise': found {_show(simulator['noise'])} beside single_trial_similarity "
            f"{_show(simulator['single_trial_similarity'])}; expected a number for one of the two."
        )
    for index, target in enumerate(config["targets"]):
        key = f"targets[{index}]"
        yield from _source_needs(key, target, _TARGET_NEEDS, selector="kind")
        needs = _TARGET_NEEDS | {"features": "weights"}
        yield from _unused(key, target, needs, {}, selector="kind")
        yield from _unknown(f"{key}.scans", target.get("scans", []), scans, "scans")
        if "of" in target:
            others = [name for name, other in targets.items() if other["kind"] != "shuffled"]
            yield from _unknown(f"{key}.of", [target["of"]], others, "unshuffled targets")
    for index, model in enumerate(config["models"]):
        key = f"models[{index}]"
        yield from _unknown(f"{key}.target", [model["target"]], [None, *targets], "targets")
        if (model["target"] is None) != (model["alpha"] == 0):
            yield (
                f"config key '{key}': target {_show(model['target'])} with alpha {model['alpha']:g}; "
                "expected a target exactly where alpha is above 0."
            )
    papers = {attack["name"] for attack in attacks["attacks"]}
    for name in [attack["name"] for attack in attacks["tightening"] if attack["name"] in papers]:
        yield (
            f"config key 'adversarial.tightening': '{name}' is the name of an entry of adversarial.attacks; "
            "expected another name."
        )
    for key, entries in attacks.items():
        for index, attack in enumerate(entries):
            for position, setting in enumerate(attack["settings"]):
                try:
                    complete_setting(attack["method"], setting)
                except InputError as error:
                    yield f"config key 'adversarial.{key}[{index}].settings[{position}]': {error}"
    for section in ("sweep", "conditions"):
        yield from _unknown(f"{section}.models", config[section]["models"], models, "models")
    if all(target["kind"] != "denoised" for target in config["targets"]):
        yield "config key 'targets': none is of kind 'denoised'; expected at least one."
    alphas = Counter(models[name]["alpha"] for name in config["sweep"]["models"])
    for alpha, count in alphas.items():
        if count > 1:
            yield (
                f"config key 'sweep.models': {count} models have alpha {alpha:g}; "
                "expected one for each alpha of Fig. 1 and Table 1."
            )
    test_size, samples = config["classification"]["test_size"], config["adversarial"]["samples"]
    if test_size is not None and samples > test_size:
        yield (
            f"config key 'adversarial.samples': found {samples}; "
            f"expected at most classification.test_size, {test_size}."
        )
    if (parts := config["adversarial"]["parts"]) > samples:
        yield (
            f"config key 'adversarial.parts': found {parts}; expected at most adversarial.samples, {samples}."
        )
    needed = 2 * config["training"]["pairs_per_step"]
    pool = config["stimuli"]["pool_size"]
    if pool is not None and pool < needed:
        yield (
            f"config key 'stimuli.pool_size': found {pool}; expected at least {needed}, "
            f"two for each of training.pairs_per_step {needed // 2}."
        )


def _downloads(scans: list[Mapping]) -> Iterator[str]:
    kept = {}
    for index, scan in enumerate(scans):
        if scan["source"] != "download":
            continue
        try:
            name = file_name(scan["url"], scan.get("file"))
        except InputError as error:
            key = "url" if scan.get("file") is None else "file"
            yield f"config key 'scans[{index}].{key}': {error}"
            continue
        if name in kept:
            yield (
                f"config key 'scans[{index}].file': '{name}' is the file of scans[{kept[name]}] as well; "
                "expected another name."
            )
        kept[name] = index
        if not _SHA256.fullmatch(scan.get("sha256", 64 * "0")):
            yield (
                f"config key 'scans[{index}].sha256': found {_show(scan['sha256'])}; "
                "expected 64 hexadecimal digits."
            )


def check_recorded_scans(config: Mapping) -> None:
    """Check that the files of recorded scans are there.

    Raises
    ------
    InputError
        With one sentence for the first that is not.
    """
    for index, scan in enumerate(config["scans"]):
        if scan["source"] == "recorded" and not Path(scan["path"]).exists():
            raise InputError(
                f"config key 'scans[{index}].path': no file or folder '{scan['path']}'; "
                "expected a recorded scan."
            )


def check_weights(config: Mapping) -> None:
    """Check that the files of features' weights are there.

    Raises
    ------
    InputError
        With one sentence for the first that is not.
    """
    for index, target in enumerate(config["targets"]):
        path = target.get("weights")
        if path and not Path(path).is_file():
            raise InputError(
                f"config key 'targets[{index}].weights': no file '{path}'; expected weights of VGG19."
            )


def _source_needs(
    key: str, entry: Mapping, needs: Mapping[str, str], selector: str = "source"
) -> Iterator[str]:
    needed = needs.get(entry[selector])
    if needed and not entry.get(needed):
        yield f"config key '{key}.{needed}': missing; {selector} '{entry[selector]}' needs it."


def _unused(
    key: str,
    entry: Mapping,
    needs: Mapping[str, str],
    options: Mapping[str, Iterable[str]],
    selector: str = "source",
) -> Iterator[str]:
    used = {needs.get(entry[selector]), *options.get(entry[selector], ())}
    for name in sorted({*needs.values(), *chain(*options.values())} - used):
        if entry.get(name) is not None:
            yield (
                f"config key '{key}.{name}': found {_show(entry[name])}; "
                f"expected nothing, {selector} '{entry[selector]}' does not use it."
            )


def _unknown(key: str, names: Iterable, known: Iterable, what: str) -> Iterator[str]:
    known = list(known)
    for name in names:
        if name not in known:
            listed = ", ".join(str(option) for option in known if option is not None)
            yield f"config key '{key}': '{name}' is not among the {what}; expected one of: {listed}."
