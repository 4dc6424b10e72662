"""Brendel & Bethge's boundary-following attacks (Foolbox) with explicit starts and a guarded solver."""

from collections.abc import Mapping

import foolbox
import numpy as np
import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.foolbox_bridge import CountingModel, one_setting_at_a_time

VARIANTS = {
    "l0": foolbox.attacks.L0BrendelBethgeAttack,
    "l1": foolbox.attacks.L1BrendelBethgeAttack,
    "l2": foolbox.attacks.L2BrendelBethgeAttack,
    "linf": foolbox.attacks.LinfinityBrendelBethgeAttack,
}


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


@one_setting_at_a_time
def run(
    variant: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    setting: Mapping,
    repetition: Tensor,
    seeds: Tensor,
    starting_points: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the closest adversarials found and the forward passes of each row.

    Deterministic given `starting_points`; repetitions differ by them.

    Parameters and returns as in `projected_gradient.run`; `variant` is the norm; `setting` has steps, radius
    (fraction of the box's diagonal), momentum; `starting_points` float32 (rows, 1, H, W) are images that the
    model takes for another class than the label, NaN for a row that has none.
    """
    counter = CountingModel(model)
    attack = VARIANTS[variant](
        steps=setting["steps"], momentum=setting["momentum"], overshoot=1.1, binary_search_steps=10
    )
    attack._optimizer = GuardedSolver(attack._optimizer, scale_free=variant == "linf")
    found = torch.full_like(x, torch.nan)
    rows = torch.isfinite(starting_points).flatten(1).all(dim=1).nonzero()[:, 0]
    if len(rows):
        # Foolbox's radius is lr times the number of values in the whole batch.
        attack.lr = setting["radius"] * x[0].numel() ** 0.5 / x[rows].numel()
        found[rows] = attack.run(
            counter.for_foolbox(x.device),
            x[rows],
            foolbox.criteria.Misclassification(labels[rows]),
            starting_points=starting_points[rows],
        )
    queries = torch.zeros(len(x), dtype=torch.int64)
    queries[rows.cpu()] = counter.calls
    return found, queries
