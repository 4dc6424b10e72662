"""Brendel & Bethge's attacks from the best adversarial of a cheap attack on the same image."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks import ddn, projected_gradient
from neuroreg.robustness.attacks.boundary_attack import VARIANTS, follow
from neuroreg.robustness.attacks.closest_points import ClosestPoints
from neuroreg.robustness.attacks.registry import complete_setting
from neuroreg.robustness.attacks.rows import Rows, setting_of_rows

METHODS = {
    "warm_brendel_bethge_l2": {
        "norm": "l2",
        "settings": {
            "start_steps": (60, 2, 100_000, "iterations of the attack that finds the start"),
            "steps": (100, 1, 100_000, "iterations along the boundary"),
            "radius": (0.004, 1e-6, 10.0, "first trust radius as a fraction of the pixel box's diagonal, 32"),
            "momentum": (0.0, 0.0, 0.999, "averaging of the boundary's normal over iterations"),
        },
    },
    "warm_brendel_bethge_linf": {
        "like": "warm_brendel_bethge_l2",
        "norm": "linf",
        "settings": {"start_steps": (10, 1, 100_000, "iterations at each epsilon of the start's search")},
    },
}

# What finds the start, and how it is set.
STARTS = {
    "l2": ("ddn", ddn, "", {"gamma": 0.1}),
    "linf": ("pgd", projected_gradient, "plain", {"rel_stepsize": 0.25, "search_steps": 10}),
}


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Follow the boundary from where DDN (L2) or PGD (Linf) met it, within a small trust region.

    Not one of the paper's attacks, which start from random images of another class, far away: there most
    steps go into the way. Random numbers are those of the attack that finds the start; in the first
    repetition there are none. A row without a start has failed.
    """
    name, family, start_variant, told = STARTS[variant]
    setting = complete_setting(name, told | {"steps": rows.setting["start_steps"]})
    asked = setting_of_rows([setting], torch.zeros_like(rows.labels), rows.x)
    start, passes = family.run(start_variant, model, replace(rows, setting=asked))

    found = torch.full_like(rows.x, torch.nan)
    there = torch.isfinite(start).flatten(1).all(dim=1).nonzero()[:, 0]
    if len(there):
        some, norm = rows.take(there), VARIANTS[variant]
        closest = ClosestPoints(variant, model, some, norm.size)
        point = start[there].flatten(1)
        along = {name: some.setting[name] for name in ("steps", "radius", "momentum")}
        follow(closest, norm, point, **along)
        found[there], spent = closest.result()
        passes[there.cpu()] += spent
    return found, passes
