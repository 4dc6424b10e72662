"""Targeted Auto-PGD (Croce & Hein 2020) as a search for the smallest perturbation, batched over rows."""

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import ClosestPoints, nearest_classes
from neuroreg.robustness.attacks.rows import Rows, adversarial_margin, start_noise

METHODS = {
    "apgd_t_l2": {
        "norm": "l2",
        "settings": {
            "steps": (100, 1, 100_000, "iterations at each epsilon"),
            "targets": (9, 1, 1_000, "classes tried as targets, the nearest by gradient first"),
            "search_steps": (30, 1, 1_000, "values of epsilon tried at most, over all targets"),
        },
    },
    "apgd_t_linf": {"like": "apgd_t_l2", "norm": "linf"},
}

# Auto-PGD: a step's share against momentum; the share of the steps between two checkpoints that must have
# raised the loss. As shares of all steps: the first interval between checkpoints, by how much each further
# one is shorter, and the shortest.
FRESH, RISING = 0.75, 0.75
FIRST, SHORTER, SHORTEST = 0.22, 0.03, 0.06
# Epsilon: relative to the linear estimate at first, and not below; growth until success; how far below the
# closest adversarial, at most and at least.
EXCESS, SMALLEST, GROWTH = 1.5, 1e-6, 1.5
MOST, LEAST = 0.2, 1e-3


def run(variant: str, model: nn.Module, batch: Rows) -> tuple[Tensor, Tensor]:
    """Climb a targeted loss within balls that shrink as adversarials are found.

    Algorithm 1 of Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks" (ICML 2020, arXiv 2003.01690), with their targeted DLR loss (eq. 7), climbs within
    a ball; here each row has its own ball. The target whose boundary is nearest, were the model linear, comes
    first. Epsilon grows until there is an adversarial; where the loss was largest, the point is drawn in
    along the line to the image if it is adversarial. From then on epsilon is a little below the closest
    adversarial: by twice as much after each success, half as much after each failure. A failure at 0.1 %
    below ends the target; each further one has to succeed there first. A target that yields none in the
    largest ball there is ends too, and the next one begins at its own linear estimate. Any class other than
    the label counts.

    The first repetition starts each climb at the image, the others on the ball's surface in a random
    direction of their own.
    """
    setting, closest = batch.setting, ClosestPoints(variant, model, batch)
    x0 = closest.x0
    targets, distances, asked = nearest_classes(variant, model, batch, setting["targets"])
    closest.passes += asked
    noise = start_noise(batch).flatten(1)
    noise = noise / closest.size(noise)[:, None].clamp(min=1e-12)
    largest = closest.size(torch.ones_like(x0))
    estimates = (EXCESS * distances).clamp(min=SMALLEST).minimum(largest[:, None])
    epsilon = estimates[:, 0].clone()
    shrink, rank = torch.full_like(epsilon, MOST), torch.zeros_like(batch.labels)
    rows = torch.arange(len(x0), device=x0.device)
    for _ in range(setting["search_steps"]):
        before = closest.smallest[rows]
        radius = epsilon[rows][:, None]
        start = (x0[rows] + radius * noise[rows]).clamp(0.0, 1.0)
        end, over = climb(closest, rows, targets[rows, rank[rows]], radius, start, setting["steps"])
        there = over.nonzero()[:, 0]
        if len(there):
            closest.draw_in(end[there], rows[there])

        smallest, own = closest.smallest[rows], shrink[rows]
        none, success = smallest.isinf(), smallest < before
        # Below the closest adversarial, or in all of the box.
        spent = torch.where(none, epsilon[rows] >= largest[rows], ~success & (own <= LEAST))
        own = torch.where(success, 2 * own, own / 2).clamp(LEAST, MOST)
        shrink[rows] = torch.where(none, MOST, own)
        following = (rank[rows] + spent).clamp(max=targets.shape[1] - 1)
        larger = torch.where(
            spent, estimates[rows, following], (GROWTH * epsilon[rows]).minimum(largest[rows])
        )
        epsilon[rows] = torch.where(none, larger, (1 - own) * smallest)
        rank[rows] += spent
        rows = rows[rank[rows] < targets.shape[1]]
        if not len(rows):
            break
    return closest.result()


def _steepest(norm: str, gradient: Tensor) -> Tensor:
    return gradient.sign() if norm == "linf" else gradient / _length(gradient)


def _into_ball(norm: str, x0: Tensor, point: Tensor, radius: Tensor) -> Tensor:
    """Return `point` brought into the ball around `x0`, then into the box, as Auto-PGD does."""
    change = point - x0
    if norm == "linf":
        change = torch.maximum(torch.minimum(change, radius), -radius)
    else:
        change = change * (radius / _length(change)).clamp(max=1.0)
    return (x0 + change).clamp(0.0, 1.0)


def _length(values: Tensor) -> Tensor:
    return values.norm(dim=1, keepdim=True).clamp(min=1e-30)


def climb(
    closest: ClosestPoints, rows: Tensor, targets: Tensor, radius: Tensor, start: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Return where Auto-PGD finds the largest loss, and whether that point is adversarial.

    `closest` sees every point on the way.

    Parameters
    ----------
    closest
        Has the model, the clean images and the norm, L2 or Linf.
    rows
        int64 (R,), which rows climb.
    targets
        int64 (R,).
    radius
        (R, 1), of the balls.
    start
        (R, pixels), in ball and box.
    steps
        At least 1.

    Returns
    -------
    tuple
        (R, pixels), in ball and box; bool (R,).
    """
    norm, x0, labels = closest.norm, closest.x0[rows], closest.labels[rows]

    def ask(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        point = point.detach().requires_grad_(True)
        logits = closest.logits(point, rows)
        loss = targeted_dlr(logits, labels, targets)
        over = adversarial_margin(logits.detach(), labels) > 0
        return loss.detach(), torch.autograd.grad(loss.sum(), point)[0], over

    point = previous = best = start
    loss, gradient, best_over = ask(point)
    highest, best_gradient = loss, gradient
    # At the first checkpoint only the rises count.
    known, halved, rises = highest, torch.ones_like(loss, dtype=torch.bool), torch.zeros_like(loss)
    stepsize, since, interval = 2 * radius, 0, max(int(FIRST * steps), 1)
    for step in range(steps):
        share = FRESH if step else 1.0
        moved = _into_ball(norm, x0, point + stepsize * _steepest(norm, gradient), radius)
        moved = point + share * (moved - point) + (1 - share) * (point - previous)
        previous, point = point, _into_ball(norm, x0, moved, radius)
        last, (loss, gradient, over) = loss, ask(point)
        rises, since = rises + (loss > last), since + 1
        higher = loss > highest
        highest = torch.where(higher, loss, highest)
        best, best_over = torch.where(higher[:, None], point, best), torch.where(higher, over, best_over)
        best_gradient = torch.where(higher[:, None], gradient, best_gradient)
        if since == interval:
            halved = (rises <= RISING * since) | (~halved & (highest <= known))
            back = halved[:, None]
            stepsize = torch.where(back, stepsize / 2, stepsize)
            point, gradient = torch.where(back, best, point), torch.where(back, best_gradient, gradient)
            loss, known, rises = torch.where(halved, highest, loss), highest, torch.zeros_like(rises)
            interval = max(interval - max(int(SHORTER * steps), 1), int(SHORTEST * steps), 1)
            since = 0
    return best, best_over


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return the targeted DLR loss (rows,) of `logits` (rows, classes): above 0 where the target wins.

    The target's logit less the label's, by the largest less the mean of the third and fourth; with fewer than
    four classes that divisor is left out.
    """
    difference = (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None]))[:, 0]
    if logits.shape[1] < 4:
        return difference
    ordered = logits.sort(dim=1, descending=True).values
    return difference / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + 1e-12)
