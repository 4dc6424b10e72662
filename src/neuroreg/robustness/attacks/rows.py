"""What every attack gets, rows with a sample, repetition and setting each; their noise, margins and steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuroreg.errors import InputError
from neuroreg.robustness.evaluation import Watched, label_lead
from neuroreg.robustness.verification import MARGIN
from neuroreg.seeds import derive_seed

_IMAGES = 4  # axes of a batch


@dataclass(frozen=True)
class Rows:
    """What one call attacks.

    An attack is a function ``run(variant, model, rows)`` of its family's module. `variant` is the one that
    the registry names. `model` is a classifier of inputs (rows, 1, H, W) in eval mode, its parameters frozen,
    on the device of the rows, as `evaluation` makes it.

    It returns two tensors: the closest adversarials found, of the type and shape of `x` and in [0, 1], NaN
    for a row where there is none; and the passes that each row took, forward and backward ones, int64 (rows,)
    on the CPU. An
    attack that knows which of its adversarials are closest in other norms too returns several of each row,
    (rows, candidates, 1, H, W): first the closest in the norm that the registry names; NaN where there is no
    further one. All are verified and scored. A row's result depends on what stands in this row alone, up to
    rounding. It need not look for NaN: `run_watched` does. Whatever is random differs by seed and repetition;
    the first repetition has no random start.

    Attributes
    ----------
    x
        float32 (rows, 1, H, W) in [0, 1], which the model takes for their labels.
    labels
        int64 (rows,).
    setting
        The method's settings by name, as `setting_of_rows` gives them: whole numbers shared by all rows,
        other numbers of the type of `x` (rows,).
    repetition
        int64 (rows,), from 0.
    seeds
        int64 (rows,), one per sample; with the repetition they decide all that is random.
    starting_points
        float32 (rows, 1, H, W), images that the model takes for another class than the label, NaN for a row
        that has none; None for methods that need none.
    """

    x: Tensor
    labels: Tensor
    setting: Mapping[str, int | float | Tensor]
    repetition: Tensor
    seeds: Tensor
    starting_points: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> torch.Size:
        """The shape of one input, (1, H, W)."""
        return self.x.shape[1:]

    def take(self, index: Tensor) -> "Rows":
        """Return the rows at `index`, int64 (some,)."""

        def taken(value: Tensor) -> Tensor:
            return value[index.to(value.device)]

        setting = {name: taken(v) if isinstance(v, Tensor) else v for name, v in self.setting.items()}
        starts = None if self.starting_points is None else taken(self.starting_points)
        x, labels, repetition, seeds = map(taken, (self.x, self.labels, self.repetition, self.seeds))
        return Rows(x, labels, setting, repetition, seeds, starts)


def run_watched(run: Callable, model: nn.Module, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Run an attack; rows that met logits that are not finite have failed and leave the others alone.

    Attacks do not look for such logits. Where there were some, the attack is run again on the two halves of
    the rows, and so on, which finds out whose they were: a row's result depends on this row alone.

    Parameters
    ----------
    run
        The attack, (model, rows) to what `Rows` says.
    model
        As `Rows` has it, but for logits, which may be NaN or infinite.
    rows
        What to attack.

    Returns
    -------
    tuple
        What `run` returns, NaN and the passes of the last run in failed rows; bool (rows,) on the CPU,
        whether the row met logits that are not finite.
    """
    watched = Watched(model)
    found, passes = _checked(run(watched, rows), rows)
    failed = torch.zeros(len(rows), dtype=torch.bool)
    if not watched.met():
        return found, passes, failed
    if len(rows) == 1:
        return torch.full_like(found, torch.nan), passes, ~failed
    halves = torch.arange(len(rows), device=rows.x.device).chunk(2)
    found, passes, failed = zip(*(run_watched(run, model, rows.take(half)) for half in halves), strict=True)
    return _together(found), torch.cat(passes), torch.cat(failed)


def _together(found: Sequence[Tensor]) -> Tensor:
    """Return rows in one tensor; of parts with fewer candidates the missing ones are NaN."""
    if all(part.ndim == found[0].ndim == _IMAGES for part in found):
        return torch.cat(list(found))
    parts = [part if part.ndim > _IMAGES else part[:, None] for part in found]
    most = max(part.shape[1] for part in parts)
    missing = [part.new_full((len(part), most - part.shape[1], *part.shape[2:]), torch.nan) for part in parts]
    return torch.cat([torch.cat(pair, dim=1) for pair in zip(parts, missing, strict=True)])


def _checked(returned: tuple[Tensor, Tensor], rows: Rows) -> tuple[Tensor, Tensor]:
    """Return what an attack returned.

    Raises
    ------
    InputError
        If it is not what `Rows` says, as of an attack under construction.
    """
    expected = f"two tensors, adversarials {tuple(rows.x.shape)} and passes ({len(rows)},), whole numbers"
    pair = isinstance(returned, tuple) and len(returned) == 2
    if not (pair and all(isinstance(part, Tensor) for part in returned)):
        raise InputError(f"what the attack returned: {type(returned).__name__}; expected {expected}.")
    found, passes = returned
    alike = found.ndim >= rows.x.ndim and (len(found), *found.shape[-3:]) == tuple(rows.x.shape)
    if not (alike and found.ndim <= rows.x.ndim + 1 and passes.shape == (len(rows),)):
        shapes = f"tensors {tuple(found.shape)} and {tuple(passes.shape)}"
        raise InputError(f"what the attack returned: {shapes}; expected {expected}.")
    if not found.numel():
        raise InputError(f"what the attack returned: no candidates; expected {expected}.")
    if not found.is_floating_point():
        raise InputError(
            f"what the attack returned: adversarials of type {found.dtype}; expected {expected}."
        )
    if passes.is_floating_point() or passes.dtype == torch.bool or (passes < 0).any():
        least = f"{passes.dtype}, {passes.min()} and more"
        raise InputError(f"what the attack returned: passes of type {least}; expected {expected}.")
    return found, passes


def sample_normal(rows: Rows, purpose: str) -> Tensor:
    """Return standard normals of the shape of ``rows.x``.

    A row's depend on its seed, its repetition and `purpose`, which keeps the draws of one attack apart.
    """
    return _per_row(torch.randn, rows, purpose)


def sample_uniform(rows: Rows, purpose: str) -> Tensor:
    """Return uniforms in [-1, 1), else as `sample_normal`."""
    return 2.0 * _per_row(torch.rand, rows, purpose) - 1.0


def _per_row(draw: Callable, rows: Rows, purpose: str) -> Tensor:
    noise = []
    for seed, number in zip(rows.seeds.tolist(), rows.repetition.tolist(), strict=True):
        generator = torch.Generator().manual_seed(derive_seed(seed, purpose, number))
        noise.append(draw(rows.shape, generator=generator, dtype=rows.x.dtype))
    return torch.stack(noise).to(rows.x.device)


def but_first(rows: Rows, noise: Tensor) -> Tensor:
    """Return `noise` (rows, ...) in repetitions from the second on, 0 in the first."""
    return noise * to_images(rows.repetition > 0).to(noise)


def start_noise(rows: Rows) -> Tensor:
    """Return standard normals of the shape of ``rows.x`` from the second repetition on, 0 in the first."""
    return but_first(rows, sample_normal(rows, "start"))


def adversarial_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the largest other logit (rows, classes) less the label's, (rows,): above 0 where adversarial.

    A little more is taken off, so that what counts as adversarial here holds when it is verified.
    """
    return -label_lead(logits, labels) - 2 * MARGIN * logits.detach().abs().amax(dim=1)


def cross_entropy_lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logsumexp of the other logits (rows, classes) less the label's logit, (rows,).

    The cross-entropy is the softplus of it, so that their gradients are parallel. But where the label's
    probability rounds to 1 that of the cross-entropy is made of rounding errors, then zero; this one is not.
    """
    own = labels[:, None]
    return logits.scatter(1, own, -torch.inf).logsumexp(dim=1) - logits.gather(1, own)[:, 0]


def cross_entropy_direction(model: nn.Module, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits (rows, classes) of images (rows, 1, H, W) and where the cross-entropy rises there.

    The latter is the gradient of `cross_entropy_lead`, of the cross-entropy's direction but not its length.
    """
    points = points.detach().requires_grad_(True)
    logits = model(points)
    (gradient,) = torch.autograd.grad(cross_entropy_lead(logits, labels).sum(), points)
    return logits.detach(), gradient


def class_margins(
    model: nn.Module, points: Tensor, labels: Tensor, shape: Sequence[int], most: int | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the likeliest other classes, their logits less the label's, the gradients of these; all logits.

    Parameters
    ----------
    model
        In eval mode, parameters frozen.
    points
        float32 (rows, pixels).
    labels
        int64 (rows,).
    shape
        Of one input, (1, H, W).
    most
        How many classes; all others if None or where there are fewer.

    Returns
    -------
    tuple
        int64 (rows, K), by falling logits; float32 (rows, K); float32 (rows, K, pixels); float32 (rows,
        classes). It takes a forward and K backward passes.
    """
    points = points.detach().requires_grad_(True)
    logits = model(points.view(-1, *shape))
    own = labels[:, None]
    others = logits.detach().scatter(1, own, -torch.inf)
    classes = others.argsort(dim=1, descending=True, stable=True)[:, : logits.shape[1] - 1][:, :most]
    margins = logits.gather(1, classes) - logits.gather(1, own)
    last = classes.shape[1] - 1
    # One backward pass per rank: rows do not mix, so that a sum over them differentiates all at once.
    gradients = [
        torch.autograd.grad(margins[:, rank].sum(), points, retain_graph=rank < last)[0]
        for rank in range(last + 1)
    ]
    return classes, margins.detach(), torch.stack(gradients, dim=1), logits.detach()


BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Turns gradients (rows, ...) into steps; rows do not mix.

    Parameters
    ----------
    like
        What is optimised, (rows, ...).
    stepsize
        float (rows, 1, ...).
    """

    def __init__(self, like: Tensor, stepsize: Tensor) -> None:
        self.stepsize, self.time = stepsize, 0
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)

    def step(self, gradient: Tensor) -> Tensor:
        """Return what to add when climbing along `gradient`, or to take off when descending."""
        self.time += 1
        self.mean = BETA1 * self.mean + (1 - BETA1) * gradient
        self.square = BETA2 * self.square + (1 - BETA2) * gradient.square()
        mean, square = self.mean / (1 - BETA1**self.time), self.square / (1 - BETA2**self.time)
        return self.stepsize * mean / (square.sqrt() + EPSILON)

    def keep(self, rows: Tensor) -> None:
        """Go on with some `rows` only, int64."""
        self.mean, self.square, self.stepsize = self.mean[rows], self.square[rows], self.stepsize[rows]


def setting_of_rows(settings: Sequence[Mapping], index: Tensor, like: Tensor) -> dict[str, int | Tensor]:
    """Return one setting for all rows, its numbers one per row.

    Parameters
    ----------
    settings
        Complete settings of one method.
    index
        int64 (rows,), which of them each row has; whole numbers are the same for all rows.
    like
        The rows' images, for type and device.

    Returns
    -------
    dict
        Whole numbers as they are; other numbers as tensors (rows,).
    """
    index = index.to(like.device)
    return {
        name: value
        if isinstance(value, int)
        else torch.tensor([each[name] for each in settings], dtype=like.dtype, device=like.device)[index]
        for name, value in settings[int(index[0])].items()
    }


def to_images(values: Tensor) -> Tensor:
    """Return (rows,) as (rows, 1, 1, 1), to go with images."""
    return values.view(-1, 1, 1, 1)
