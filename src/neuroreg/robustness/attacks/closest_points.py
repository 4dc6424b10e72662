"""The closest adversarial of each row so far, and the classes whose boundaries are nearest."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.rows import Rows, adversarial_margin, class_margins

# A difference from the clean image to its norm (rows,).
Size = Callable[[Tensor], Tensor]
SIZES: dict[str, Size] = {
    "l0": lambda difference: (difference != 0).sum(dim=1).to(difference.dtype),
    "l1": lambda difference: difference.abs().sum(dim=1),
    "l2": lambda difference: difference.norm(dim=1),
    "linf": lambda difference: difference.abs().amax(dim=1),
}
# The dual norm over a gradient's last dimension: at most so much does a step of norm 1 raise the function.
DUALS: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda gradient: gradient.abs().amax(dim=-1),
    "l2": lambda gradient: gradient.norm(dim=-1),
    "linf": lambda gradient: gradient.abs().sum(dim=-1),
}
# Bisections of the way from an adversarial to the boundary.
BISECTIONS = 10


class Closest:
    """The closest adversarial of each row so far.

    Attributes
    ----------
    best
        Like the clean images, (rows, ...); NaN where none was found.
    smallest
        Its norm, (rows,); inf where none was found.
    """

    def __init__(self, x: Tensor) -> None:
        self.best = torch.full_like(x, torch.nan)
        self.smallest = torch.full_like(x.flatten(1)[:, 0], torch.inf)

    def keep(self, point: Tensor, size: Tensor, over: Tensor, rows: Tensor | slice = slice(None)) -> None:
        """Keep the points of `rows` that are adversarial (`over`, bool) and of a smaller `size` (rows,)."""
        closer = over & (size < self.smallest[rows])
        self.smallest[rows] = torch.where(closer, size, self.smallest[rows])
        closer = closer.view(-1, *[1] * (point.dim() - 1))
        self.best[rows] = torch.where(closer, point, self.best[rows])


class ClosestPoints(Closest):
    """The same, found by asking the model; all points are flat, (rows, pixels).

    Attributes
    ----------
    x0
        The clean images, float32 (rows, pixels).
    passes
        int64 (rows,), forward and backward passes.
    """

    def __init__(self, norm: str, model: nn.Module, rows: Rows, size: Size | None = None) -> None:
        self.norm, self.size = norm, size or SIZES[norm]
        self.model, self.shape, self.labels = model, rows.shape, rows.labels
        self.x0 = rows.x.flatten(1)
        self.passes = torch.zeros_like(rows.labels)
        super().__init__(self.x0)

    def result(self) -> tuple[Tensor, Tensor]:
        """Return what an attack returns: images (rows, 1, H, W) and passes."""
        return self.best.view(-1, *self.shape), self.passes.cpu()

    def logits(self, point: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return the logits at `point`, a point for each of `rows`, and keep those that are closer.

        Where `point` requires a gradient a backward pass is counted too.
        """
        logits = self.model(point.view(-1, *self.shape))
        self.passes[rows] += 1 + int(point.requires_grad)
        over = adversarial_margin(logits.detach(), self.labels[rows]) > 0
        self.keep(point.detach(), self.size(point.detach() - self.x0[rows]), over, rows)
        return logits

    def margin(self, point: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return `adversarial_margin` at `point`, without gradients; keep as `logits` does."""
        with torch.no_grad():
            return adversarial_margin(self.logits(point, rows), self.labels[rows])

    def bisect(
        self,
        between: Callable[[Tensor], Tensor],
        rows: Tensor | slice = slice(None),
        bisections: int = BISECTIONS,
    ) -> Tensor:
        """Return the smallest share (R, 1) that was seen to be adversarial, 1 if none; see all on the way.

        `between` takes shares (R, 1), 0 for the clean image, to points (R, pixels).
        """
        low = torch.zeros_like(self.x0[rows][:, :1])
        high = torch.ones_like(low)
        for _ in range(bisections):
            middle = (low + high) / 2
            over = self.margin(between(middle), rows)[:, None] > 0
            low, high = torch.where(over, low, middle), torch.where(over, middle, high)
        return high

    def draw_in(
        self, end: Tensor | None = None, rows: Tensor | slice = slice(None), bisections: int = BISECTIONS
    ) -> None:
        """Bisect the line from the clean image to `end` for the boundary's near side.

        `end` has a point for each of `rows`; the closest ones so far if None. Where those are no
        adversarials this comes to nothing.
        """
        x0 = self.x0[rows]
        end = torch.where(self.smallest.isfinite()[:, None], self.best, self.x0)[rows] if end is None else end
        self.bisect(lambda share: x0 + share * (end - x0), rows, bisections)

    def join(self, other: Closest) -> None:
        """Take over what `other`, of the same rows as images (rows, 1, H, W), has found closer."""
        self.keep(other.best.flatten(1), other.smallest, other.smallest.isfinite())


def drawn_in(model: nn.Module, rows: Rows, closest: Closest, passes: int | Tensor) -> tuple[Tensor, Tensor]:
    """Return what an L2 attack returns, its closest adversarials drawn in by the setting's `bisections`.

    `passes` are those until then, int64 (rows,) or one number for all rows.
    """
    points = ClosestPoints("l2", model, rows)
    points.join(closest)
    points.passes += passes
    points.draw_in(bisections=rows.setting["bisections"])
    return points.result()


def nearest_classes(norm: str, model: nn.Module, rows: Rows, most: int) -> tuple[Tensor, Tensor, int]:
    """Return int64 (rows, K), the other classes by rising distance to their boundary, and these distances.

    And how many passes that took each row: a forward one, and a backward one for each other class.

    The distances are estimates in `norm` (``"l1"``, ``"l2"`` or ``"linf"``), exact were the model linear. K
    is `most`, or how many other classes there are.
    """
    classes, margins, gradients, _ = class_margins(model, rows.x.flatten(1), rows.labels, rows.shape)
    distance, order = linear_distances(norm, margins, gradients)
    return classes.gather(1, order)[:, :most], distance[:, :most], 1 + margins.shape[1]


def linear_distances(norm: str, margins: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distances (rows, K) to classes' boundaries, rising, and the order of the classes.

    Exact were the model linear; `margins` and `gradients` are those of `class_margins`.
    """
    return (-margins / DUALS[norm](gradients).clamp(min=1e-12)).sort(dim=1, stable=True)
