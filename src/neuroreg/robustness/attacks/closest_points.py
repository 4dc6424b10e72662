"""The closest adversarial point of each row so far; norms and noise of flat rows (rows, pixels)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.rows import adversarial_margin, sample_normal

# A difference from the clean image to its norm (rows,).
SIZES: dict[str, Callable[[Tensor], Tensor]] = {
    "l0": lambda difference: (difference != 0).sum(dim=1).to(difference.dtype),
    "l1": lambda difference: difference.abs().sum(dim=1),
    "l2": lambda difference: difference.norm(dim=1),
    "linf": lambda difference: difference.abs().amax(dim=1),
}
# Bisections of the way back from an adversarial to the boundary.
HALVINGS = 10
# The dual norm over a gradient's last dimension: at most so much does a step of norm 1 raise the function.
DUALS: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda gradient: gradient.abs().amax(dim=-1),
    "l2": lambda gradient: gradient.norm(dim=-1),
    "linf": lambda gradient: gradient.abs().sum(dim=-1),
}


def start_noise(x: Tensor, seeds: Tensor, repetition: Tensor) -> Tensor:
    """Return standard normals (rows, pixels) in repetitions from the second on, 0 in the first.

    Parameters
    ----------
    x
        float32 (rows, 1, H, W).
    seeds
        int64 (rows,); with the repetition they decide the row's numbers.
    repetition
        int64 (rows,), from 0.
    """
    noise = sample_normal(x, seeds, "start", repetition).flatten(1)
    return noise * (repetition > 0).to(x.device)[:, None]


class ClosestPoints:
    """The closest adversarial point of each row so far, and the model that is asked for it.

    Attributes
    ----------
    best
        float32 (rows, pixels), NaN where none was found.
    smallest
        float32 (rows,), its norm; inf where none was found.
    passes
        int64 (rows,), forward passes.
    """

    def __init__(self, norm: str, model: nn.Module, x: Tensor, labels: Tensor) -> None:
        self.norm, self.size = norm, SIZES[norm]
        self.model, self.shape, self.labels = model, x.shape[1:], labels
        self.x0 = x.flatten(1)
        self.best = torch.full_like(self.x0, torch.nan)
        self.smallest = torch.full_like(self.x0[:, 0], torch.inf)
        self.passes = torch.zeros_like(labels)

    def logits(self, point: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return the logits at `point`, a point for each of `rows`, and keep those that are closer."""
        logits = self.model(point.view(-1, *self.shape))
        self.passes[rows] += 1
        size = self.size(point.detach() - self.x0[rows])
        over = adversarial_margin(logits.detach(), self.labels[rows]) > 0
        closer = over & (size < self.smallest[rows])
        self.smallest[rows] = torch.where(closer, size, self.smallest[rows])
        self.best[rows] = torch.where(closer[:, None], point.detach(), self.best[rows])
        return logits

    def draw_in(self, end: Tensor | None = None, rows: Tensor | slice = slice(None)) -> None:
        """Bisect the line from the clean image to `end` for the boundary's near side.

        `end` has a point for each of `rows`; the closest ones so far if None. Where those are no
        adversarials this comes to nothing.
        """
        x0 = self.x0[rows]
        end = torch.where(self.smallest.isfinite()[:, None], self.best, self.x0)[rows] if end is None else end
        low, high = torch.zeros_like(x0[:, :1]), torch.ones_like(x0[:, :1])
        with torch.no_grad():
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                logits = self.logits(x0 + middle * (end - x0), rows)
                over = adversarial_margin(logits, self.labels[rows])[:, None] > 0
                low, high = torch.where(over, low, middle), torch.where(over, middle, high)
