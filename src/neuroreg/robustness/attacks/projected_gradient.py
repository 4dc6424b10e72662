"""Projected gradient descent in Linf (plain and Adam) with a search for each row's smallest epsilon."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from neuroreg.robustness.attacks.closest_points import Closest
from neuroreg.robustness.attacks.rows import (
    Adam,
    Rows,
    adversarial_margin,
    but_first,
    cross_entropy_direction,
    sample_uniform,
    to_images,
)

METHODS = {
    "pgd": {
        "norm": "linf",
        "variant": "plain",
        "settings": {
            "steps": (40, 1, 100_000, "iterations at each epsilon"),
            "rel_stepsize": (0.03333333333333333, 1e-6, 10.0, "step size as a fraction of epsilon"),
            "epsilon": (0.01, 1e-6, 1.0, "where the search over epsilon starts"),
            "search_steps": (
                20,
                1,
                1_000,
                "values of epsilon tried at most: times 1.5 until success, then bisection",
            ),
        },
    },
    "adam_pgd": {"like": "pgd", "variant": "adam"},
}


GROWTH = 1.5
# A row's epsilon is found when what failed is nearer than this to what succeeded, as a share of the latter.
RESOLVED = 5e-4
# Rows that are done leave the batch after every so many steps: asking which they are waits for the device.
LEAVE_EVERY = 4


def smallest_epsilon(
    attempt: Callable[[Tensor, Tensor], Tensor], x: Tensor, epsilon: Tensor, search_steps: int
) -> tuple[Tensor, Tensor]:
    """Return the adversarials nearest to `x` in Linf that were met, and how often each row was attempted.

    Epsilon grows by a factor of 1.5, to 1 at most, until the attack succeeds; then it is the mean of the
    largest that failed and the distance at which it succeeded. (Foolbox 2 takes the epsilon that succeeded,
    which is never smaller.) A row is done when the two are within 0.05 %, or epsilon 1 has failed.

    Parameters
    ----------
    attempt
        Epsilon (R,) and rows, int64 (R,), to points (R, 1, H, W) within it, NaN where none is adversarial.
    x
        float32 (rows, 1, H, W).
    epsilon
        float32 (rows,), where the search starts.
    search_steps
        Attempts at most.

    Returns
    -------
    tuple
        float32 (rows, 1, H, W), NaN where nothing was found; int64 (rows,).
    """
    failed, succeeded = torch.zeros_like(epsilon), torch.full_like(epsilon, torch.inf)
    closest, attempts = Closest(x), torch.zeros(len(x), dtype=torch.int64, device=x.device)
    rows, epsilon = torch.arange(len(x), device=x.device), epsilon.clone()
    for _ in range(search_steps):
        tried = epsilon[rows]
        found = attempt(tried, rows)
        attempts[rows] += 1
        size = (found - x[rows]).abs().flatten(1).amax(dim=1)
        success = torch.isfinite(size)
        closest.keep(found, size, success, rows)
        far = torch.where(success, succeeded[rows].minimum(size), succeeded[rows])
        near = torch.where(success, failed[rows], tried)
        # A failure further out than an adversarial says nothing.
        near = torch.where(near >= far, far / GROWTH, near)
        failed[rows], succeeded[rows] = near, far
        epsilon[rows] = torch.where(far.isinf(), (GROWTH * tried).clamp(max=1.0), (near + far) / 2)
        rows = rows[torch.where(far.isinf(), tried < 1.0, far - near > RESOLVED * far)]
        if not len(rows):
            break
    return closest.best, attempts


def run(variant: str, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """Step along the sign of the cross-entropy's gradient (``"plain"``), or with Adam on it (``"adam"``).

    Steps and projection are Foolbox 3's, but for a gradient that does not saturate (see
    `cross_entropy_direction`). At each epsilon the first adversarial iterate counts, as in Foolbox 2, and the
    row stops there. The first repetition starts from the image, whose gradient is asked for once, the others
    from a random point within epsilon.
    """
    x, labels, setting, start = rows.x, rows.labels, rows.setting, random_start(rows)
    passes, at_start = torch.zeros_like(labels), torch.full_like(x, torch.nan)
    first = (rows.repetition == 0).nonzero()[:, 0]
    if len(first):
        _, at_start[first] = cross_entropy_direction(model, x[first], labels[first])
        passes[first] += 2

    def attempt(epsilon: Tensor, some: Tensor) -> Tensor:
        found, spent = climb(
            variant,
            model,
            x[some],
            labels[some],
            epsilon=epsilon,
            stepsize=setting["rel_stepsize"][some] * epsilon,
            steps=setting["steps"],
            start=start[some],
            at_start=at_start[some],
        )
        passes[some] += spent
        return found

    found, _ = smallest_epsilon(attempt, x, setting["epsilon"], setting["search_steps"])
    return found, passes.cpu()


def random_start(rows: Rows) -> Tensor:
    """Return the first offset of each row in units of epsilon, (rows, 1, H, W) in [-1, 1)."""
    return but_first(rows, sample_uniform(rows, "start"))


def climb(
    variant: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    epsilon: Tensor,
    stepsize: Tensor,
    steps: int,
    start: Tensor,
    at_start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the first adversarial among the start and `steps` steps up the cross-entropy, and the passes.

    All are within `epsilon` of `x` and in [0, 1].

    Parameters
    ----------
    variant, model
        As in `run`.
    x, labels
        float32 (rows, 1, H, W) in [0, 1] and int64 (rows,).
    epsilon, stepsize
        float32 (rows,).
    steps
        How many at most.
    start
        float32 (rows, 1, H, W) in [-1, 1], the first offset in units of epsilon.
    at_start
        float32 (rows, 1, H, W), the gradient there where it is known and no adversarial; NaN elsewhere.

    Returns
    -------
    tuple
        float32 (rows, 1, H, W), NaN where none was adversarial; int64 (rows,), passes until then.
    """
    epsilon, stepsize = to_images(epsilon), to_images(stepsize)
    found, passes = torch.full_like(x, torch.nan), torch.zeros_like(labels)
    rows, done = torch.arange(len(x), device=x.device), torch.zeros_like(labels, dtype=torch.bool)
    adam = Adam(x, stepsize) if variant == "adam" else None
    point = (x + epsilon * start).clamp(0.0, 1.0)
    for step in range(steps):
        if step == 0 and at_start is not None:
            over, gradient, spent = _ask_unknown(model, point, labels, at_start)
            passes += spent
        else:
            logits, gradient = cross_entropy_direction(model, point, labels)
            passes[rows] += torch.where(done, 0, 2)
            over = (adversarial_margin(logits, labels) > 0) & ~done
        found[rows] = torch.where(to_images(over), point, found[rows])
        done = done | over
        if (step + 1) % LEAVE_EVERY == 0:
            left = (~done).nonzero()[:, 0]
            rows, done = rows[left], done[left]
            if not len(rows):
                return found, passes
            x, labels, epsilon, stepsize = x[left], labels[left], epsilon[left], stepsize[left]
            point, gradient = point[left], gradient[left]
            if adam:
                adam.keep(left)
        direction = gradient.sign()
        change = adam.step(direction) if adam else stepsize * direction
        point = (x + (point + change - x).clamp(-epsilon, epsilon)).clamp(0.0, 1.0)
    with torch.no_grad():
        over = (adversarial_margin(model(point), labels) > 0) & ~done
    passes[rows] += torch.where(done, 0, 1)
    found[rows] = torch.where(to_images(over), point, found[rows])
    return found, passes


def _ask_unknown(
    model: nn.Module, point: Tensor, labels: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return which points are adversarial, the gradients there, of which some are `known`, and the passes."""
    over, gradient, passes = (
        torch.zeros_like(labels, dtype=torch.bool),
        known.clone(),
        torch.zeros_like(labels),
    )
    rows = known.isnan().flatten(1).any(dim=1).nonzero()[:, 0]
    if len(rows):
        logits, gradient[rows] = cross_entropy_direction(model, point[rows], labels[rows])
        over[rows] = adversarial_margin(logits, labels[rows]) > 0
        passes[rows] = 2
    return over, gradient, passes
