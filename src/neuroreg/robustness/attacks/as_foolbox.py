"""A trained model, and any method of the registry, as Foolbox has models and attacks."""

from collections.abc import Mapping
from pathlib import Path

import eagerpy as ep
import foolbox
import torch
from foolbox.attacks.base import MinimizationAttack, get_criterion, raise_if_kwargs
from torch import Tensor, nn

from neuroreg.errors import InputError
from neuroreg.robustness.attacks.registry import complete_setting, find_method
from neuroreg.robustness.attacks.rows import Rows, run_watched, setting_of_rows
from neuroreg.robustness.evaluation import evaluation
from neuroreg.training.checkpoints import load_model

DISTANCES = {
    "l0": foolbox.distances.l0,
    "l1": foolbox.distances.l1,
    "l2": foolbox.distances.l2,
    "linf": foolbox.distances.linf,
}


def foolbox_model(model: nn.Module | str | Path, device: torch.device | str = "cpu") -> foolbox.PyTorchModel:
    """Return a trained model as Foolbox's: bounds (0, 1), no preprocessing, since the model does its own.

    Parameters
    ----------
    model
        A classifier of gray images in [0, 1], float32 (B, 1, 32, 32), or the file of one
        (`neuroreg.training.checkpoints.load_model`). It is put in eval mode, with frozen parameters, and
        moved to `device`.
    device
        Where to compute.

    Raises
    ------
    InputError
        As `load_model`.
    """
    model = load_model(model) if isinstance(model, str | Path) else model
    return foolbox.PyTorchModel(
        model.eval().requires_grad_(False), bounds=(0, 1), device=torch.device(device)
    )


class RegistryAttack(MinimizationAttack):
    """``attack(foolbox_model, x, labels, epsilons=None)`` runs a method of the registry, untargeted.

    Where it finds nothing, and for inputs that are misclassified as they are, the input comes back. Starting
    points, where the method needs them, go into the call: float (B, channels, H, W) as `starting_points`.

    Parameters
    ----------
    method
        A name from `attack_methods`.
    setting
        What it leaves out has the method's default.
    repetition, seed
        Decide what is random. Equal inputs get equal noise, wherever in the batch they are.

    Raises
    ------
    InputError
        If the method or a setting will not do; when called, if the model's inputs are not in [0, 1], the
        criterion is another than misclassification, or starting points are missing.
    """

    def __init__(
        self, method: str, setting: Mapping | None = None, *, repetition: int = 0, seed: int = 0
    ) -> None:
        self.method, self.repetition, self.seed = method, repetition, seed
        self.setting = complete_setting(method, setting or {})

    @property
    def distance(self) -> foolbox.distances.Distance:
        """The distance that the method minimises."""
        return DISTANCES[find_method(self.method).norm]

    def run(self, model, inputs, criterion, *, early_stop=None, starting_points=None, **kwargs):
        """Return the closest adversarials found; see the class. `early_stop` is not used."""
        raise_if_kwargs(kwargs)
        x, restore = ep.astensor_(inputs)
        criterion, method = get_criterion(criterion), find_method(self.method)
        if not isinstance(criterion, foolbox.criteria.Misclassification):
            raise InputError(f"{self.method}: criterion {criterion}; expected Misclassification.")
        if tuple(model.bounds) != (0.0, 1.0):
            raise InputError(f"{self.method}: inputs in {tuple(model.bounds)}; expected bounds (0, 1).")
        if method.needs_starting_points and starting_points is None:
            raise InputError(f"{self.method}: no starting_points; expected one per input.")
        found, labels, module = x.raw.clone(), criterion.labels.raw, _Module(model)
        rows = Rows(
            x=x.raw,
            labels=labels,
            setting=setting_of_rows([self.setting], torch.zeros_like(labels), found),
            repetition=torch.full_like(labels, self.repetition),
            seeds=torch.full_like(labels, self.seed),
            starting_points=None if starting_points is None else ep.astensor(starting_points).raw,
        )
        with evaluation(module, found.device):
            with torch.no_grad():
                right = (module(found).argmax(dim=1) == labels).nonzero()[:, 0]
            if len(right):
                candidates, _, _ = run_watched(method.load(), module, rows.take(right))
                candidates = candidates[:, 0] if candidates.ndim > found.ndim else candidates
                there = torch.isfinite(candidates).flatten(1).all(dim=1)
                found[right[there]] = candidates[there]
        return restore(ep.astensor(found))


class _Module(nn.Module):
    def __init__(self, model: foolbox.Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
