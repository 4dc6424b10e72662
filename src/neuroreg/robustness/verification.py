"""The one producer of adversarial distances: no attack's own word for them is taken."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuroreg.robustness.attack_result import NORMS
from neuroreg.robustness.evaluation import label_lead, predict

SNAP = 1e-6
SNAP_L0 = 1e-4
TINY = 1e-30
# Sums of convolutions differ by about 1e-6 between batch shapes: what holds by less might not hold alone.
MARGIN = 1e-5
# Attacks end within a float's rounding of the boundary, where snapping alone often tips a sample back.
PUSHES = (0.0, 1e-4, 1e-3, 1e-2)
# Of an image so near to the boundary that snapping takes the difference itself: what the changed pixels' root
# mean square is raised to.
LIFTS = (2e-6, 4e-6)


@dataclass(frozen=True)
class Verified:
    """What `verify` found for B samples.

    Attributes
    ----------
    distance
        Norm (l0, l1, l2, linf) to float64 (B,): inf where no candidate held, 0 where the clean sample is
        misclassified.
    adversarial
        Norm to float32 (B, 1, H, W): the very tensor that `distance` was measured on and the model got wrong;
        NaN where none; the clean image where that is misclassified.
    verified
        bool (B,): whether there is a finite distance.
    """

    distance: dict[str, Tensor]
    adversarial: dict[str, Tensor]
    verified: Tensor


def measure(clean: Tensor, adversarial: Tensor) -> dict[str, Tensor]:
    """Return the four norms of the difference of two (B, 1, H, W) tensors, in float64; each (B,)."""
    difference = (adversarial.double() - clean.double()).flatten(1).abs()
    return {
        "l0": (difference > 0).sum(dim=1).double(),
        "l1": difference.sum(dim=1),
        "l2": difference.square().sum(dim=1).sqrt(),
        "linf": difference.amax(dim=1),
    }


def verify(
    model: nn.Module,
    clean: Tensor,
    labels: Tensor,
    candidates: Tensor,
    *,
    batch_size: int,
    device: torch.device,
    correct: Tensor | None = None,
) -> Verified:
    """Check candidate adversarials in float32 and measure those that hold under all four norms.

    Candidates are clamped to [0, 1] and differences from the clean image under 1e-6 are set to 0. The result
    goes through the model; it holds if another class has a larger logit than the label, by more than 1e-5 of
    the largest logit, so that no batch shape takes it back; where a logit is not finite it does not. If it
    does not hold, the difference is stretched by 1e-4, 1e-3, then 1e-2 of itself, and the same is done again;
    at last, if its L2 norm is 1e-6 or more, until the root mean square over the changed pixels is 2e-6, then
    4e-6, where that is further. Where there are differences under 1e-4, a second tensor without them is
    tested in the same way, but for the last stretch (it changes fewer pixels); each norm takes the smaller of
    what held. Distance and forward pass are always those of the same stored tensor.

    Parameters
    ----------
    model
        The classifier as trained (nothing folded or compiled).
    clean
        float32 (B, 1, H, W) in [0, 1].
    labels
        int64 (B,).
    candidates
        float32 (B, 1, H, W), on any device; one that is not finite is a failure. Or (B, candidates, 1, H, W):
        each norm takes the closest that held.
    batch_size, device
        Of the forward passes.
    correct
        bool (B,), which clean samples count as correctly classified, where that is decided already: asked in
        another batch, a tie may go the other way. None asks the model.
    """
    clean, labels = clean.cpu(), labels.cpu()
    candidates = candidates.detach().cpu().to(torch.float32)

    def wrong(inputs: Tensor, rows: Tensor, margin: float) -> Tensor:
        found = torch.zeros_like(rows)
        logits = predict(model, inputs[rows], batch_size=batch_size, device=device, finite=False)
        found[rows] = -label_lead(logits, labels[rows]) > margin * logits.abs().amax(dim=1)
        return found

    distance = {norm: torch.full((len(clean),), torch.inf, dtype=torch.float64) for norm in NORMS}
    adversarial = {norm: torch.full_like(clean, torch.nan) for norm in NORMS}

    def keep(rows: Tensor, tensor: Tensor) -> None:
        for norm, values in measure(clean, tensor).items():
            closer = rows & (values < distance[norm])
            distance[norm] = torch.where(closer, values, distance[norm])
            adversarial[norm] = torch.where(_as_rows(closer), tensor, adversarial[norm])

    if correct is None:
        misclassified = wrong(clean, torch.ones(len(clean), dtype=torch.bool), 0.0)
    else:
        misclassified = ~correct.cpu()
    for found in candidates.unbind(1) if candidates.ndim > clean.ndim else (candidates,):
        usable = torch.isfinite(found).flatten(1).all(dim=1) & ~misclassified
        point = torch.where(_as_rows(usable), found, clean).clamp(0.0, 1.0)
        small = ((point.double() - clean.double()).abs() < SNAP_L0) & (point != clean)
        for threshold, pending in ((SNAP, usable), (SNAP_L0, usable & small.flatten(1).any(dim=1))):
            for further in _stretched(clean, point, lift=threshold == SNAP):
                if not pending.any():
                    break
                tensor = _snap(clean, further.clamp(0.0, 1.0), threshold)
                rows = pending & (tensor != clean).flatten(1).any(dim=1)
                if not rows.any():
                    continue
                held = wrong(tensor, rows, MARGIN)
                keep(held, tensor)
                pending = pending & ~held
    keep(misclassified, clean)
    return Verified(distance, adversarial, torch.isfinite(distance["l2"]))


def _as_rows(mask: Tensor) -> Tensor:
    return mask.view(-1, 1, 1, 1)


def _stretched(clean: Tensor, point: Tensor, lift: bool) -> Iterator[Tensor]:
    """Yield `point` (B, 1, H, W), then ever further ones on its line; the clean image where there is none.

    The last of them only if `lift`.
    """
    for push in PUSHES:
        yield point + push * (point - clean)
    if lift:
        difference = point.double() - clean.double()
        length, changed = difference.flatten(1).norm(dim=1), (difference != 0).flatten(1).sum(dim=1)
        typical = length / changed.clamp(min=1).sqrt()
        for size in LIFTS:
            lifted = (length >= SNAP) & (typical < size)
            share = torch.where(lifted, size / typical.clamp(min=TINY), 0.0)
            yield (clean + _as_rows(share) * difference).to(clean.dtype)


def _snap(clean: Tensor, candidates: Tensor, threshold: float) -> Tensor:
    return torch.where((candidates.double() - clean.double()).abs() < threshold, clean, candidates)
