"""The attacks by name, their settings and ranges; free of torch and Foolbox until an attack is loaded.

A family of attacks is a module of this folder with a function ``run`` (see `rows.Rows`) and a literal
``METHODS``, read here without importing the module; nothing else names it:

    METHODS = {
        "attack": {
            "norm": "l2",                  # which it minimises
            "variant": "plain",            # what run is told; the norm if left out
            "needs_starting_points": True, # False if left out
            "settings": {"steps": (default, smallest, largest, "its meaning")},
        },
        # Like another attack, of any family; what is said replaces, settings one by one.
        "another": {"like": "attack", "variant": "adam"},
    }
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import isfinite
from pathlib import Path

from neuroreg.declared import declared
from neuroreg.errors import InputError

NORMS = ("l0", "l1", "l2", "linf")
_KEYS = {"like", "norm", "variant", "needs_starting_points", "settings"}


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
        """Import the family's module and return its ``run`` for this variant: (model, rows) to a result.

        Raises
        ------
        InputError
            If it has none.
        """
        family = import_module(f"neuroreg.robustness.attacks.{self.module}")
        if not callable(getattr(family, "run", None)):
            raise InputError(f"{family.__file__}: no function 'run'; expected run(variant, model, rows).")
        return partial(family.run, self.variant)


def _read_families() -> dict[str, AttackMethod]:
    """Return all methods, by the names of their families' modules.

    Raises
    ------
    InputError
        As `declared`, or if an entry is not what this module's docstring describes.
    """
    families = declared(Path(__file__).parent, "METHODS")
    own = {name: (family, entry) for family, table in families.items() for name, entry in table.items()}

    def complete(name: str, *likes: str) -> dict:
        """Return an entry with what it has of the one that it is like."""
        family, entry = own[name]
        if not (isinstance(entry, dict) and isinstance(entry.get("settings", {}), dict)):
            raise _refused(family, name, f"found {entry!r}")
        if "like" not in entry:
            return {"variant": entry.get("norm"), "settings": {}} | entry
        if entry["like"] not in own or entry["like"] in (name, *likes):
            raise _refused(family, name, f"like '{entry['like']}', which is no other method")
        base = complete(entry["like"], name, *likes)
        variant = entry.get("norm", base.get("norm"))
        settings = base["settings"] | entry.get("settings", {})
        return base | {"variant": variant} | entry | {"settings": settings}

    return {name: _method(family, name, complete(name)) for name, (family, _) in own.items()}


def _method(family: str, name: str, entry: Mapping) -> AttackMethod:
    """Return what an entry of a family's METHODS says, if it says what this module's docstring describes."""
    starts = entry.get("needs_starting_points", False)
    if unknown := sorted(set(entry) - _KEYS):
        raise _refused(family, name, f"unknown key '{unknown[0]}'")
    if entry.get("norm") not in NORMS:
        raise _refused(family, name, f"norm {entry.get('norm')!r}, not one of {', '.join(NORMS)}")
    if not isinstance(starts, bool):
        raise _refused(family, name, f"needs_starting_points {starts!r}, neither True nor False")
    for key, values in entry["settings"].items():
        kinds = [type(value) for value in values] if isinstance(values, tuple) else []
        if (
            kinds[3:] != [str]
            or not set(kinds[:3]) <= {int, float}
            or not values[1] <= values[0] <= values[2]
        ):
            raise _refused(family, name, f"setting '{key}' {values!r}")
    settings = {key: Setting(*values) for key, values in entry["settings"].items()}
    return AttackMethod(family, entry["variant"], entry["norm"], settings, starts)


def _refused(family: str, name: str, found: str) -> InputError:
    return InputError(
        f"attacks: METHODS of {family}.py has '{name}': {found}; expected what attacks/registry.py describes."
    )


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
