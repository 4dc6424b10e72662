"""The attacks by name, their settings and ranges; free of torch and Foolbox until an attack is loaded.

A family of attacks is a module of this folder with a function ``run`` (see `rows.Rows`) and, below its
docstring, a literal ``METHODS``, read here without importing the module:

    METHODS = {
        "attack": {
            "norm": "l2",                  # which it minimises
            "variant": "plain",            # what run is told; the norm if left out
            "needs_starting_points": True, # False if left out
            "settings": {"steps": (default, smallest, largest, "its meaning")},
        },
        # Like an attack listed before it; what is said replaces, settings one by one.
        "another": {"like": "attack", "variant": "adam"},
    }
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import isfinite
from pathlib import Path

from neuroreg.errors import InputError

# In the order in which methods are listed.
FAMILIES = (
    "projected_gradient",
    "carlini_wagner",
    "ddn",
    "jsma",
    "sparsefool",
    "boundary_attack",
    "foolbox",
    "sigma_zero",
    "pdpgd",
    "apgd_t",
    "fab",
    "warm_start",
)


@dataclass(frozen=True)
class Setting:
    """One setting of an attack.

    Attributes
    ----------
    default
        Its value where the config is silent; its type (int or float) is the setting's type. Rows attacked
        together share whole numbers; each has a float of its own.
    low, high
        The smallest and largest value allowed.
    meaning
        For the documentation.
    """

    default: int | float
    low: float
    high: float
    meaning: str


@dataclass(frozen=True)
class AttackMethod:
    """One attack: its family's module, its variant there, the norm it minimises, its settings."""

    module: str
    variant: str
    norm: str
    settings: Mapping[str, Setting]
    needs_starting_points: bool = False

    def load(self) -> Callable:
        """Import the family's module and return its ``run`` for this variant: (model, rows) to a result."""
        family = import_module(f"neuroreg.robustness.attacks.{self.module}")
        return partial(family.run, self.variant)


def declared_methods(path: Path) -> dict[str, dict]:
    """Return the literal ``METHODS`` of a family's file, without importing it.

    Raises
    ------
    InputError
        If there is none, or it is no literal.
    """
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "METHODS":
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                break
    raise InputError(f"{path}: no METHODS that is a literal; expected what attacks/registry.py describes.")


def _read_families() -> dict[str, AttackMethod]:
    said, methods = {}, {}
    for family in FAMILIES:
        for name, own in declared_methods(Path(__file__).with_name(f"{family}.py")).items():
            base = said[own["like"]] if "like" in own else {}
            said[name] = entry = base | {"variant": own.get("norm", base.get("norm"))} | own
            entry["settings"] = base.get("settings", {}) | own.get("settings", {})
            methods[name] = AttackMethod(
                family,
                entry["variant"],
                entry["norm"],
                {key: Setting(*values) for key, values in entry["settings"].items()},
                entry.get("needs_starting_points", False),
            )
    return methods


ATTACK_METHODS: dict[str, AttackMethod] = _read_families()


def attack_methods() -> tuple[str, ...]:
    """Return the names of all attacks."""
    return tuple(ATTACK_METHODS)


def find_method(method: str) -> AttackMethod:
    """Return the attack called `method`, or raise InputError."""
    if method not in ATTACK_METHODS:
        raise InputError(f"attacks: method '{method}'; expected one of {', '.join(ATTACK_METHODS)}.")
    return ATTACK_METHODS[method]


def complete_setting(method: str, setting: Mapping) -> dict[str, int | float]:
    """Return `setting` with the defaults of `method` for what it leaves out.

    Raises
    ------
    InputError
        If the method or a key is unknown, or a value is of the wrong type or out of its range.
    """
    known = find_method(method).settings
    complete = {name: spec.default for name, spec in known.items()}
    for name, value in setting.items():
        if name not in known:
            raise InputError(f"attacks: setting '{name}' of {method}; expected one of {', '.join(known)}.")
        spec = known[name]
        whole = isinstance(spec.default, int)
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not (fits and spec.low <= value <= spec.high and isfinite(value)):
            kind = "a whole number" if whole else "a number"
            raise InputError(
                f"attacks: {method}.{name} is {value!r}; expected {kind} from {spec.low:g} to {spec.high:g}."
            )
        complete[name] = value if whole else float(value)
    return complete
