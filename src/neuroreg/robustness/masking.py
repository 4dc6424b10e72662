"""Signs of masked gradients: whether distances are large because attacks fail (Athalye et al. 2018)."""

import copy
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neuroreg.robustness.attack_result import NORMS, Closest, ModelSeed
from neuroreg.robustness.attacks.rows import cross_entropy_lead
from neuroreg.robustness.black_box import random_search
from neuroreg.robustness.evaluation import evaluation, label_lead, predict, to_input
from neuroreg.robustness.largest import largest_distances
from neuroreg.robustness.logit_margin import Scaled
from neuroreg.robustness.verification import verify
from neuroreg.seeds import derive_seed

SAMPLES = 64  # looked at, at the most
QUERIES = 30  # of the random search, per norm
PASSES = 5
REPEATABLE = 1e-5
TINY = 1e-30
SAME_WAY = 0.9  # cosine
CLOSER = 0.002  # what counts as closer
SETTLED = 0.05
ALIKE = (0.8, 1.25)


def masking_checks(
    networks: Iterable[tuple[ModelSeed, nn.Module]],
    closest: Mapping[ModelSeed, Closest],
    reference: str,
    *,
    seed: int,
    batch_size: int,
    device: torch.device,
    apart: Collection[str] = (),
) -> pd.DataFrame:
    """Look for signs that attacks failed where distances are large.

    Parameters
    ----------
    networks
        (model's name, its seed) and the classifier, one after the other.
    closest
        What the attacks on each found; the same samples for all.
    reference
        Name of the model to whose distances the others' are compared; the one without a regulariser.
    seed
        Decides which samples are looked at and the random search.
    batch_size, device
        Of the forward passes.
    apart
        Models that are no networks of the reference's kind, of which nothing is expected beside it.

    Returns
    -------
    DataFrame
        One row per model, seed, check and (where it depends on it) norm. `value` is what was found, `n` of
        how many, `expected` in words; `flag` is ``ok``, ``flag``, or ``none`` where nothing can be said or is
        expected.
        Checks: ``zero gradients``: share of samples at which the gradient of the cross-entropy or of the
        logits' margin vanishes, the logits being as loud as the attacks saw them, here and in the next;
        ``float32 gradients``: share of samples at which the cross-entropy's gradient in float32 and its
        direction in float64 have a cosine below 0.9 (or one of them vanishes), as where the softmax
        saturates, NaN of a network that cannot compute in float64; ``five passes``: largest difference of a
        sample's logits over five forward passes, relative to the largest logit; ``not finite``: share of
        samples with logits that are NaN or infinite, their own, by which they count as misclassified, or a
        try's, which so failed (the search's log names both), of these and the attacked ones; ``last
        repetition``: share by which the mean distance of what was found falls through the attacks' last
        repetition, an image that only the last one found counting at its largest distance until then;
        ``black box``: share of samples for which a random search without gradients came closer than all
        attacks by more than 0.2 %; ``transfer``: the same for the other models' adversarials; ``ratio``:
        mean distance over correctly classified samples, those not found at the largest there is, relative
        to that of `reference`, all seeds together; only L0, which masking would raise too, is expected to
        be alike.
    """
    rows = []
    for run, network in networks:
        for row in _check_network(network, run, closest, seed, {"batch_size": batch_size, "device": device}):
            rows.append({"model": run[0], "seed": run[1], **row})
    for model in dict.fromkeys(name for name, _ in closest):
        if model != reference:
            rows += [
                {"model": model, "seed": None, **row}
                for row in _ratios(closest, model, reference, model in apart)
            ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def _row(check: str, norm: str, value: float, n: int, expected: str, fits: bool) -> dict:
    flag = "none" if not expected or np.isnan(value) else "ok" if fits else "flag"
    return {"check": check, "norm": norm, "value": float(value), "n": n, "expected": expected, "flag": flag}


def _check_network(
    network: nn.Module, run: ModelSeed, closest: Mapping[ModelSeed, Closest], seed: int, options: Mapping
) -> list[dict]:
    own = closest[run]
    order = np.random.default_rng(derive_seed(seed, "masking samples")).permutation(len(own.sample))
    shown = np.sort(order[own.correct[order]][:SAMPLES])
    clean, labels = to_input(own.clean[shown]), torch.from_numpy(own.label[shown])
    n = len(shown)
    zero, elsewhere, spread = np.nan, np.nan, np.nan
    if n:
        seen = Scaled(network, own.logit_factor)
        zero = float(vanishing_gradients(seen, clean, labels, **options).float().mean())
        if (mislead := misleading_gradients(seen, clean, labels, **options)) is not None:
            elsewhere = float(mislead.float().mean())
        spread = _spread(network, clean, options)
    lost, of = _not_finite(network, own, options)
    rows = [
        _row("zero gradients", "", zero, n, "0", zero == 0),
        _row("float32 gradients", "", elsewhere, n, "0", elsewhere == 0),
        _row("five passes", "", spread, n, f"at most {REPEATABLE:g}", spread <= REPEATABLE),
        _row("not finite", "", lost, of, "0", lost == 0),
        *(_last_repetition(own, norm) for norm in NORMS),
    ]
    seeds = np.array([derive_seed(seed, "masking", int(sample)) for sample in own.sample[shown]])
    for norm in NORMS:
        distance, share = own.distance[norm][shown], np.nan
        if n:
            candidates = random_search(
                network,
                clean,
                labels,
                _search_sizes(norm, distance, clean[0].numel()),
                norm,
                queries=QUERIES,
                seeds=seeds,
                **options,
            )
            limit = (1 - CLOSER) * distance
            share = float(_closer(network, clean, labels, candidates, norm, limit, options).mean())
        rows.append(_row("black box", norm, share, n, "0", share == 0))
    return rows + [_transfer(network, run, closest, norm, options) for norm in NORMS]


def _not_finite(network: nn.Module, own: Closest, options: Mapping) -> tuple[float, int]:
    unknown = 0
    if not own.correct.all():
        logits = predict(network, to_input(own.clean[~own.correct]), **options, finite=False)
        unknown = int((~torch.isfinite(logits).all(dim=1)).sum())
    of = int(own.correct.sum()) + unknown
    failed = int((own.not_finite[own.correct] > 0).sum()) + unknown
    return failed / of if of else np.nan, of


def _last_repetition(own: Closest, norm: str) -> dict:
    counted, before = own.correct & np.isfinite(own.distance[norm]), own.without_last[norm]
    fall = np.nan
    # With one repetition there is nothing before the last one.
    if own.repetitions > 1 and counted.any():
        before = _or_largest(before, own, norm)
        fall = 1 - own.distance[norm][counted].mean() / before[counted].mean()
    expected = f"at most {SETTLED:g}"
    return _row("last repetition", norm, fall, int(counted.sum()), expected, 0 <= fall <= SETTLED)


def _search_sizes(norm: str, distance: np.ndarray, pixels: int) -> np.ndarray:
    """Return how far a search may go to be closer; half the box's size where no adversarial is known."""
    if norm == "l0":
        return np.where(np.isfinite(distance), np.ceil((1 - CLOSER) * distance) - 1, pixels // 2)
    whole = {"l1": pixels, "l2": pixels**0.5, "linf": 1.0}[norm]
    # A little less than what counts, because verification may stretch what it is given.
    return np.where(np.isfinite(distance), (1 - 2 * CLOSER) * distance, whole / 2)


def vanishing_gradients(
    network: nn.Module, clean: Tensor, labels: Tensor, *, batch_size: int, device: torch.device
) -> Tensor:
    """Return bool (N,): whether the cross-entropy's or the margin's gradient by the image is zero or NaN."""
    parts = []
    with evaluation(network, device):
        for images, own in zip(clean.split(batch_size), labels.split(batch_size), strict=True):
            images, own = images.to(device).detach().requires_grad_(), own.to(device)
            logits = network(images)
            entropy = nn.functional.cross_entropy(logits, own, reduction="sum")
            margin = label_lead(logits, own).sum()
            bad = torch.zeros(len(images), dtype=torch.bool)
            for loss in (entropy, margin):
                size = _gradient(loss, images).abs().amax(dim=1)
                bad |= ~(torch.isfinite(size) & (size > 0))
            parts.append(bad)
    return torch.cat(parts)


def misleading_gradients(
    network: nn.Module, clean: Tensor, labels: Tensor, *, batch_size: int, device: torch.device
) -> Tensor | None:
    """Return bool (N,): whether the cross-entropy's gradient in float32 points elsewhere than in float64.

    That is, their cosine is below 0.9. In float64 the gradient is that of `cross_entropy_lead`, which is
    parallel to it and exact where float64 saturates too. None of a network that cannot compute in float64, as
    an exported one that turns its images into float32.
    """
    exact, parts = copy.deepcopy(network).double(), []
    with evaluation(network, device), evaluation(exact, device):
        try:
            exact(clean[:1].to(device).double())
        except RuntimeError:
            return None
        for images, own in zip(clean.split(batch_size), labels.split(batch_size), strict=True):
            images, own = images.to(device).detach().requires_grad_(), own.to(device)
            finer = images.detach().double().requires_grad_()
            entropy = nn.functional.cross_entropy(network(images), own, reduction="sum")
            used = _gradient(entropy, images).double()
            meant = _gradient(cross_entropy_lead(exact(finer), own).sum(), finer)
            # Scaled first: a gradient of 1e-30 has a direction, but no squares.
            used, meant = (part / part.abs().amax(dim=1, keepdim=True) for part in (used, meant))
            parts.append(~(nn.functional.cosine_similarity(used, meant, dim=1) >= SAME_WAY))
    return torch.cat(parts)


def _gradient(loss: Tensor, images: Tensor) -> Tensor:
    """Return the gradient by the images on the CPU, (N, pixels), 0 where they do not matter."""
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss, images, retain_graph=True, allow_unused=True)
    return (torch.zeros_like(images) if gradient is None else gradient).flatten(1).cpu()


def _spread(network: nn.Module, clean: Tensor, options: Mapping) -> float:
    passes = torch.stack([predict(network, clean, **options) for _ in range(PASSES)])
    spread = (passes.amax(dim=0) - passes.amin(dim=0)).amax(dim=1)
    return float((spread / passes[0].abs().amax(dim=1).clamp_min(TINY)).max())


def _closer(
    network: nn.Module,
    clean: Tensor,
    labels: Tensor,
    candidates: Tensor,
    norm: str,
    limit: np.ndarray,
    options: Mapping,
) -> np.ndarray:
    """Return bool (N,): whether a candidate is verified at a distance of at most `limit`."""
    found = np.zeros(len(clean), dtype=bool)
    there = torch.isfinite(candidates).flatten(1).all(dim=1)
    if there.any():
        right = torch.ones(int(there.sum()), dtype=torch.bool)  # as the search had it
        outcome = verify(network, clean[there], labels[there], candidates[there], **options, correct=right)
        found[there.numpy()] = outcome.distance[norm].numpy() < limit[there.numpy()]
    return found


def _transfer(
    network: nn.Module, run: ModelSeed, closest: Mapping[ModelSeed, Closest], norm: str, options: Mapping
) -> dict:
    own, count, closer = closest[run], 0, 0
    for other, theirs in closest.items():
        if other == run:
            continue
        comparable = own.correct & theirs.correct & np.isfinite(theirs.distance[norm])
        limit = (1 - CLOSER) * own.distance[norm]
        count += int(comparable.sum())
        rows = np.flatnonzero(comparable & (theirs.distance[norm] < limit))
        if len(rows):
            clean, labels = to_input(own.clean[rows]), torch.from_numpy(own.label[rows])
            candidates = torch.from_numpy(theirs.adversarial[norm][rows])[:, None]
            found = _closer(network, clean, labels, candidates, norm, limit[rows], options)
            closer += int(found.sum())
    share = closer / count if count else np.nan
    return _row("transfer", norm, share, count, "0", share == 0)


def _or_largest(distance: np.ndarray, closest: Closest, norm: str) -> np.ndarray:
    """Return distances (S,) of the samples, where no adversarial was found the largest there is."""
    return np.where(np.isfinite(distance), distance, largest_distances(closest.clean)[norm])


def _ratios(closest: Mapping[ModelSeed, Closest], model: str, reference: str, apart: bool) -> list[dict]:
    rows = []
    for norm in NORMS:
        means, counts = {}, {}
        for name in (model, reference):
            parts = [part for run, part in closest.items() if run[0] == name]
            values = np.concatenate(
                [_or_largest(part.distance[norm], part, norm)[part.correct] for part in parts]
            )
            means[name], counts[name] = values.mean() if len(values) else np.nan, len(values)
        ratio = means[model] / means[reference]
        low, high = ALIKE if norm == "l0" else (0.0, np.inf)
        expected = f"{low:g} to {high:g}" if norm == "l0" and not apart else ""
        rows.append(_row("ratio", norm, ratio, counts[model], expected, low <= ratio <= high))
    return rows
