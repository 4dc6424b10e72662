"""The attacks by name, their settings and ranges; free of torch and Foolbox until an attack is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import isfinite

from neuroreg.errors import InputError


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
        """Import the family's module and return its ``run`` for this variant."""
        family = import_module(f"neuroreg.robustness.attacks.{self.module}")
        return partial(family.run, self.variant)


_PROJECTED_GRADIENT = {
    "steps": Setting(40, 1, 100_000, "iterations at each epsilon"),
    "rel_stepsize": Setting(0.01 / 0.3, 1e-6, 10.0, "step size as a fraction of epsilon"),
    "epsilon": Setting(0.01, 1e-6, 1.0, "where the search over epsilon starts"),
    "search_steps": Setting(20, 1, 1_000, "values of epsilon tried: times 1.5 until success, then bisection"),
}
_CARLINI_WAGNER = {
    "binary_search_steps": Setting(5, 1, 100, "values of the constant c tried"),
    "steps": Setting(1000, 1, 100_000, "iterations at each c"),
    "stepsize": Setting(5e-3, 1e-6, 10.0, "Adam's step size in tanh space"),
    "initial_const": Setting(1e-2, 1e-9, 1e9, "the first c"),
    "start_noise": Setting(0.01, 0.0, 10.0, "std of the start in tanh space, from the second repetition on"),
}
_DDN = {
    "steps": Setting(100, 1, 100_000, "iterations"),
    "gamma": Setting(0.05, 1e-6, 0.999, "relative change of the norm at each iteration"),
    "init_epsilon": Setting(1.0, 1e-6, 32.0, "the first norm, in pixels"),
}
_NORMS = ("l0", "l1", "l2", "linf")
_BRENDEL_BETHGE = {
    "steps": Setting(1000, 1, 100_000, "iterations along the boundary"),
    "radius": Setting(0.16, 1e-6, 10.0, "first trust radius as a fraction of the pixel box's diagonal, 32"),
    "momentum": Setting(0.8, 0.0, 0.999, "averaging of the boundary's normal over iterations"),
}
_FAB = {
    "steps": Setting(100, 1, 100_000, "iterations"),
    "targets": Setting(9, 1, 1_000, "other classes looked at in each, the likeliest first"),
    "alpha_max": Setting(0.1, 0.0, 1.0, "bias towards the image at most"),
    "overshoot": Setting(1.05, 1.0, 10.0, "step to the boundary's plane, 1 being onto it"),
    "back": Setting(0.9, 0.0, 1.0, "where the next step starts on the way from the image to an adversarial"),
    "start": Setting(
        0.5, 0.0, 100.0, "distance of the start, in estimates of the minimum, from the second repetition on"
    ),
}
_APGD_T = {
    "steps": Setting(100, 1, 100_000, "iterations at each epsilon"),
    "targets": Setting(9, 1, 1_000, "classes tried as targets, the nearest by gradient first"),
    "search_steps": Setting(30, 1, 1_000, "values of epsilon tried at most, over all targets"),
}
ATTACK_METHODS: dict[str, AttackMethod] = {
    "pgd": AttackMethod("projected_gradient", "plain", "linf", _PROJECTED_GRADIENT),
    "adam_pgd": AttackMethod("projected_gradient", "adam", "linf", _PROJECTED_GRADIENT),
    "carlini_wagner": AttackMethod("carlini_wagner", "l2", "l2", _CARLINI_WAGNER),
    "ddn": AttackMethod("ddn", "l2", "l2", _DDN),
    "jsma": AttackMethod(
        "jsma",
        "l0",
        "l0",
        {
            "theta": Setting(0.1, 1e-6, 1.0, "change of a pixel at one step"),
            "per_pixel": Setting(7, 1, 100_000, "changes of one pixel at most"),
            "targets": Setting(9, 1, 1_000, "classes tried as targets, the nearest by gradient first"),
            "steps": Setting(2000, 1, 100_000, "steps at most"),
            "jitter": Setting(
                0.1, 0.0, 1.0, "half range of the saliencies' random factors, from the second repetition on"
            ),
        },
    ),
    "sparsefool": AttackMethod(
        "sparsefool",
        "l1",
        "l1",
        {
            "steps": Setting(30, 1, 100_000, "boundary planes at most"),
            "lambda": Setting(1.0, 1.0, 100.0, "how many times as far away the plane is taken to be"),
            "start_noise": Setting(
                0.01, 0.0, 10.0, "std of the first DeepFool's start, from the second repetition on"
            ),
        },
    ),
    **{
        f"brendel_bethge_{norm}": AttackMethod("boundary_attack", norm, norm, _BRENDEL_BETHGE, True)
        for norm in _NORMS
    },
    "foolbox_pgd": AttackMethod("foolbox_projected_gradient", "plain", "linf", _PROJECTED_GRADIENT),
    "foolbox_adam_pgd": AttackMethod("foolbox_projected_gradient", "adam", "linf", _PROJECTED_GRADIENT),
    "foolbox_carlini_wagner": AttackMethod("foolbox_carlini_wagner", "l2", "l2", _CARLINI_WAGNER),
    "foolbox_ddn": AttackMethod("foolbox_ddn", "l2", "l2", _DDN),
    **{
        f"foolbox_brendel_bethge_{norm}": AttackMethod(
            "foolbox_brendel_bethge", norm, norm, _BRENDEL_BETHGE, True
        )
        for norm in _NORMS
    },
    "sigma_zero": AttackMethod(
        "sigma_zero",
        "l0",
        "l0",
        {
            "steps": Setting(1000, 1, 100_000, "iterations"),
            "stepsize": Setting(1.0, 1e-6, 10.0, "Adam's first step size; falls to a tenth"),
            "sigma": Setting(1e-3, 1e-12, 1e3, "smoothness of the stand-in for L0"),
            "threshold": Setting(0.3, 0.0, 1.0, "changes below it are undone, at first"),
            "threshold_rate": Setting(0.01, 0.0, 1.0, "its change at each iteration, in step sizes"),
            "start_noise": Setting(0.5, 0.0, 10.0, "std of the start, from the second repetition on"),
        },
    ),
    "pdpgd": AttackMethod(
        "pdpgd",
        "l1",
        "l1",
        {
            "steps": Setting(1000, 2, 100_000, "iterations"),
            "stepsize": Setting(0.3, 1e-6, 10.0, "Adam's first step size; falls to a hundredth"),
            "dual_rate": Setting(0.1, 1e-6, 10.0, "first step size of the weight; falls to a tenth"),
            "start_noise": Setting(0.5, 0.0, 10.0, "std of the start, from the second repetition on"),
        },
    ),
    **{f"apgd_t_{norm}": AttackMethod("apgd_t", norm, norm, _APGD_T) for norm in ("l2", "linf")},
    **{f"fab_{norm}": AttackMethod("fab", norm, norm, _FAB) for norm in ("l1", "l2", "linf")},
}


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
        if not (fits and isfinite(value) and spec.low <= value <= spec.high):
            kind = "a whole number" if whole else "a number"
            raise InputError(
                f"attacks: {method}.{name} is {value!r}; expected {kind} from {spec.low:g} to {spec.high:g}."
            )
        complete[name] = value if whole else float(value)
    return complete
