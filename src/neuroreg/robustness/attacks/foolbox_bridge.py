"""What every family needs to run a Foolbox attack: a model that counts, and rows of one setting at a time."""

from collections.abc import Callable, Mapping
from functools import wraps

import foolbox
import torch
from torch import Tensor, nn

Run = Callable[..., tuple[Tensor, Tensor]]


class CountingModel(nn.Module):
    """Passes inputs on to `model` and counts the forward passes, each of which takes the whole batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the wrapped model's logits."""
        self.calls += 1
        return self.model(x)

    def for_foolbox(self, device: torch.device) -> foolbox.PyTorchModel:
        """Return a Foolbox model of inputs in [0, 1]."""
        return foolbox.PyTorchModel(self, bounds=(0.0, 1.0), device=device)


def one_setting_at_a_time(run: Run) -> Run:
    """Give a family whose settings are plain numbers, the same for all rows, rows with settings of their own.

    Foolbox's attacks take one number for the whole batch: rows of one setting are run together.
    """

    @wraps(run)
    def run_rows(
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
        found, queries = torch.full_like(x, torch.nan), torch.zeros(len(x), dtype=torch.int64)
        names = [name for name, value in setting.items() if isinstance(value, Tensor)]
        whole = {name: value for name, value in setting.items() if name not in names}
        numbers = torch.stack([setting[name].cpu() for name in names], dim=1)
        distinct, which = numbers.unique(dim=0, return_inverse=True)
        for index, values in enumerate(distinct.tolist()):
            rows = (which == index).nonzero()[:, 0]
            found[rows], queries[rows] = run(
                variant,
                model,
                x[rows],
                labels[rows],
                setting=whole | dict(zip(names, values, strict=True)),
                repetition=repetition[rows],
                seeds=seeds[rows],
                starting_points=None if starting_points is None else starting_points[rows],
            )
        return found, queries

    return run_rows
