"""Foolbox's own attacks at work: PGD, AdamPGD, Carlini & Wagner, DDN, Brendel & Bethge (Foolbox 3).

What is added to them: a row's own epsilon and random numbers, given starting points, and a guard around
Brendel & Bethge's solver. What is random, the searched epsilons and the settings are those of our families.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import eagerpy as ep
import foolbox
import numpy as np
import torch
from foolbox.criteria import Misclassification
from torch import Tensor, nn

from neuroreg.robustness.attacks.boundary_attack import OVERSHOOT
from neuroreg.robustness.attacks.carlini_wagner import random_offset
from neuroreg.robustness.attacks.closest_points import BISECTIONS
from neuroreg.robustness.attacks.ddn import random_direction
from neuroreg.robustness.attacks.projected_gradient import random_start, smallest_epsilon
from neuroreg.robustness.attacks.rows import Rows, to_images

METHODS = {
    "foolbox_pgd": {"like": "pgd", "variant": "pgd"},
    "foolbox_adam_pgd": {"like": "adam_pgd", "variant": "adam_pgd"},
    "foolbox_carlini_wagner": {
        "like": "carlini_wagner",
        "variant": "carlini_wagner",
        "settings": {
            "box": (0.999999, 0.999999, 0.999999, "share of tanh's range that is [0, 1]; fixed"),
            "checks": (0, 0, 0, "times in a search that a row stops if its loss no longer falls; fixed"),
            "bisections": (0, 0, 0, "of the way from the image to the closest adversarial; fixed"),
        },
    },
    "foolbox_ddn": {
        "like": "ddn",
        "variant": "ddn",
        "settings": {"bisections": (0, 0, 0, "of the way from the image to the closest adversarial; fixed")},
    },
    "foolbox_brendel_bethge_l0": {"like": "brendel_bethge_l0", "variant": "brendel_bethge_l0"},
    "foolbox_brendel_bethge_l1": {"like": "brendel_bethge_l1", "variant": "brendel_bethge_l1"},
    "foolbox_brendel_bethge_l2": {"like": "brendel_bethge_l2", "variant": "brendel_bethge_l2"},
    "foolbox_brendel_bethge_linf": {"like": "brendel_bethge_linf", "variant": "brendel_bethge_linf"},
}


# Settings of our Carlini & Wagner and DDN that Foolbox's do not have.
OURS_ALONE = ("start_noise", "box", "checks", "bisections")


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Run Foolbox's version of our attack called `variant`, rows of one setting at a time.

    Foolbox's attacks take one number for the whole batch.
    """
    found, passes = torch.full_like(rows.x, torch.nan), torch.zeros(len(rows), dtype=torch.int64)
    names = [name for name, value in rows.setting.items() if isinstance(value, Tensor)]
    numbers = torch.stack([rows.setting[name].cpu() for name in names], dim=1)
    distinct, which = numbers.unique(dim=0, return_inverse=True)
    for index, values in enumerate(distinct.tolist()):
        there = which == index
        if variant.startswith("brendel_bethge"):
            there &= torch.isfinite(rows.starting_points).flatten(1).all(dim=1).cpu()
        there = there.nonzero()[:, 0]
        if len(there):
            some, counter = rows.take(there), CountingModel(model)
            some = replace(some, setting=some.setting | dict(zip(names, values, strict=True)))
            found[there], passes[there] = ATTACKS[variant](counter, some)
    return found, passes


class CountingModel(nn.Module):
    """Passes inputs on to `model` and counts forward and backward passes, each of which takes all rows.

    A forward pass of inputs that require a gradient is followed by a backward one.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training  # not `train`, which would set the model's parts, too
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the wrapped model's logits."""
        self.passes += 1 + int(torch.is_grad_enabled() and x.requires_grad)
        return self.model(x)

    def for_foolbox(self, device: torch.device) -> foolbox.PyTorchModel:
        """Return a Foolbox model of inputs in [0, 1]."""
        return foolbox.PyTorchModel(self, bounds=(0.0, 1.0), device=device)


class _RowEpsilon:
    """Lets a Foolbox Linf attack take one epsilon per row and a given random start."""

    start: Tensor

    def get_random_start(self, x0: ep.Tensor, epsilon: ep.Tensor) -> ep.Tensor:
        return x0 + epsilon * ep.astensor(self.start)

    def project(self, x: ep.Tensor, x0: ep.Tensor, epsilon: ep.Tensor) -> ep.Tensor:
        return x0 + ep.maximum(ep.minimum(x - x0, epsilon), -epsilon)


class PlainAttack(_RowEpsilon, foolbox.attacks.LinfProjectedGradientDescentAttack):
    """Foolbox's PGD: steps along the gradient's sign; the last iterate."""


class AdamAttack(_RowEpsilon, foolbox.attacks.LinfAdamProjectedGradientDescentAttack):
    """Foolbox's AdamPGD: Adam on the gradient's sign; the last iterate."""


def projected_gradient(family: type, model: CountingModel, rows: Rows) -> tuple[Tensor, Tensor]:
    """Return what PGD of `family` finds at the smallest epsilon, as `projected_gradient.run` searches it."""
    x, labels, setting = rows.x, rows.labels, rows.setting
    attack = family(rel_stepsize=setting["rel_stepsize"], steps=setting["steps"], random_start=True)
    start, wrapped = random_start(rows), model.for_foolbox(x.device)

    def attempt(epsilon: Tensor, some: Tensor) -> Tensor:
        attack.start = start[some]
        criterion, within = Misclassification(labels[some]), ep.astensor(to_images(epsilon))
        found = attack.run(wrapped, ep.astensor(x[some]), criterion, epsilon=within).raw
        with torch.no_grad():
            failed = model(found).argmax(dim=1) == labels[some]
        return torch.where(to_images(failed), torch.nan, found)

    epsilon = torch.full((len(x),), setting["epsilon"], dtype=x.dtype, device=x.device)
    found, attempts = smallest_epsilon(attempt, x, epsilon, setting["search_steps"])
    return found, attempts.cpu() * (2 * setting["steps"] + 1)


Step = Callable[..., tuple]


def hooked(x: Tensor, wrap: Callable[[Callable, Callable[[Callable], Step]], Step]) -> ep.PyTorchTensor:
    """Return `x` for a Foolbox attack without a random start, which will take gradients through ``wrap``.

    Foolbox's minimisation attacks call ``value_and_grad_fn(x, loss, has_aux=True)`` once and then only the
    function returned. Replacing that function changes the start of the search and leaves the attack's code as
    it is.

    Parameters
    ----------
    x
        The clean images.
    wrap
        Called with the attack's loss function and with Foolbox's way of differentiating one; returns the
        function (point, ...) to (loss, auxiliary, gradient) that the attack gets.
    """

    class Hooked(ep.PyTorchTensor):
        __slots__ = ()

        def _value_and_grad_fn(self, f: Callable, has_aux: bool = False) -> Any:
            differentiate = super()._value_and_grad_fn
            return wrap(f, lambda loss: differentiate(loss, has_aux=has_aux))

    return Hooked(x)


def carlini_wagner(model: CountingModel, rows: Rows) -> tuple[Tensor, int]:
    """Return what Carlini & Wagner's L2 attack finds, with confidence 0.

    Foolbox's early abort is off: it looks at the whole batch's loss, so that a sample's result would depend
    on its neighbours.
    """
    offset = random_offset(rows)
    attack = foolbox.attacks.L2CarliniWagnerAttack(**_told(rows), confidence=0, abort_early=False)
    # Foolbox optimises an offset in tanh space that begins at 0; moving its origin moves the start.
    inputs = hooked(
        rows.x, lambda loss, differentiate: differentiate(lambda delta, *rest: loss(delta + offset, *rest))
    )
    found = attack.run(model.for_foolbox(rows.x.device), inputs, Misclassification(rows.labels)).raw
    return _unless(found == 0, found), model.passes  # where Foolbox found nothing it returns a black image


def ddn(model: CountingModel, rows: Rows) -> tuple[Tensor, int]:
    """Return what DDN finds; where a gradient is left out or vanishes, a random direction stands in."""
    direction = random_direction(rows)

    def wrap(loss: Callable, differentiate: Callable) -> Callable:
        step = differentiate(loss)
        first = to_images(rows.repetition > 0)

        def value_and_gradient(*args):
            nonlocal first
            value, logits, gradient = step(*args)
            # Foolbox would replace vanishing gradients with noise that depends on the batch.
            replaced = to_images((gradient.raw == 0).flatten(1).all(dim=1)) | first
            first = torch.zeros_like(first)
            return value, logits, ep.astensor(torch.where(replaced, direction, gradient.raw))

        return value_and_gradient

    attack = foolbox.attacks.DDNAttack(**_told(rows))
    inputs = hooked(rows.x, wrap)
    found = attack.run(model.for_foolbox(rows.x.device), inputs, Misclassification(rows.labels)).raw
    return _unless(found == rows.x, found), model.passes  # where Foolbox found nothing it returns the image


def _told(rows: Rows) -> dict[str, Any]:
    """Return the settings of `rows` that Foolbox has, too."""
    return {name: value for name, value in rows.setting.items() if name not in OURS_ALONE}


def _unless(nothing: Tensor, found: Tensor) -> Tensor:
    """Return `found` with NaN for rows where `nothing` holds for all pixels."""
    return torch.where(to_images(nothing.flatten(1).all(dim=1)), torch.nan, found)


class GuardedSolver:
    """Foolbox's compiled solver of one step, kept from what makes it loop for ever or run the wrong way.

    Parameters
    ----------
    solver
        Foolbox's optimiser.
    scale_free
        Whether to hand over the boundary's normal with unit length. The Linf solver searches its multiplier
        in a fixed bracket and so needs this (Foolbox issue 583); its solution does not depend on the length.
    """

    def __init__(self, solver, scale_free: bool) -> None:
        self.solver, self.scale_free = solver, scale_free

    def solve(
        self, x0: np.ndarray, x: np.ndarray, b: np.ndarray, low: float, high: float, c: float, r: float
    ) -> np.ndarray:
        """Return the step (n,) from `x` to the plane b.step = c nearest to `x0`, in radius `r` and box."""
        x0, start, b, c = x0.astype(np.float64), x.astype(np.float64), b.astype(np.float64), float(c)
        length = np.linalg.norm(b)
        if not (np.isfinite(length) and np.isfinite(c)) or length < 1e-12:
            return np.zeros_like(start)
        inside = np.clip(start, low, high)
        scale = length if self.scale_free else 1.0
        step = self.solver.solve(x0, inside, b / scale, low, high, c / scale, r)
        if not np.isfinite(step).all() or c * (b @ step) < 0:
            # Out of the plane's reach Foolbox loses the sign of c and the radius.
            step = _towards(inside, b, c, r, low, high)
        return inside + step - start


def _towards(x: np.ndarray, b: np.ndarray, c: float, r: float, low: float, high: float) -> np.ndarray:
    """Return the step from `x` straight to the plane b.step = c, as far as box and radius `r` let it."""
    direction = np.sign(c) * b / np.linalg.norm(b)

    def step(length: float) -> np.ndarray:
        return np.clip(x + length * direction, low, high) - x

    def fits(length: float) -> bool:
        return np.linalg.norm(step(length)) <= r and abs(b @ step(length)) <= abs(c)

    near, far = 0.0, r
    while fits(far) and far < 1e6 * r:
        near, far = far, 2 * far
    for _ in range(40):
        middle = (near + far) / 2
        near, far = (middle, far) if fits(middle) else (near, middle)
    return step(near)


def guarded(attack: type, scale_free: bool = False) -> type:
    """Return the Brendel & Bethge `attack` of Foolbox with a `GuardedSolver`."""

    class Guarded(attack):
        def instantiate_optimizer(self) -> GuardedSolver:
            return GuardedSolver(super().instantiate_optimizer(), scale_free)

    return Guarded


def brendel_bethge(family: type, model: CountingModel, rows: Rows) -> tuple[Tensor, int]:
    """Return what the Brendel & Bethge attack of `family` finds from the starting points."""
    setting = rows.setting
    attack = family(
        steps=setting["steps"],
        momentum=setting["momentum"],
        # Foolbox's radius is lr times the number of values in the whole batch.
        lr=setting["radius"] * rows.x[0].numel() ** 0.5 / rows.x.numel(),
        overshoot=OVERSHOOT,
        binary_search_steps=BISECTIONS,
    )
    wrapped, criterion = model.for_foolbox(rows.x.device), Misclassification(rows.labels)
    found = attack.run(wrapped, rows.x, criterion, starting_points=rows.starting_points)
    return found, model.passes


# To adversarials (rows, 1, H, W), NaN where none, and passes, one number for all rows or int64 (rows,).
ATTACKS: dict[str, Callable[[CountingModel, Rows], tuple[Tensor, Tensor | int]]] = {
    "pgd": partial(projected_gradient, PlainAttack),
    "adam_pgd": partial(projected_gradient, AdamAttack),
    "carlini_wagner": carlini_wagner,
    "ddn": ddn,
    "brendel_bethge_l0": partial(brendel_bethge, guarded(foolbox.attacks.L0BrendelBethgeAttack)),
    "brendel_bethge_l1": partial(brendel_bethge, guarded(foolbox.attacks.L1BrendelBethgeAttack)),
    "brendel_bethge_l2": partial(brendel_bethge, guarded(foolbox.attacks.L2BrendelBethgeAttack)),
    "brendel_bethge_linf": partial(
        brendel_bethge, guarded(foolbox.attacks.LinfinityBrendelBethgeAttack, scale_free=True)
    ),
}
