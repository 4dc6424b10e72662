"""The search for the smallest adversarial perturbation: one attack on one model, many tries."""

import logging
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from neuroreg.errors import InputError
from neuroreg.resume import Progress, fingerprint, load_progress, save_progress
from neuroreg.robustness.attack_result import NORMS, AttackResult
from neuroreg.robustness.attacks.registry import complete_setting, find_method
from neuroreg.robustness.attacks.starting_points import choose_starting_points
from neuroreg.robustness.evaluation import evaluation, predict, to_input
from neuroreg.robustness.verification import Verified, verify
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)


def search(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    sample: np.ndarray,
    pool_images: np.ndarray,
    pool_labels: np.ndarray,
    *,
    method: str,
    settings: Sequence[Mapping],
    repetitions: int,
    seed: int,
    batch_size: int,
    device: torch.device,
    resume_path: Path | None = None,
    code: str = "",
) -> AttackResult:
    """Attack every correctly classified sample with each setting, several times, and verify what is found.

    Killed and called again, it goes on after the last batch that it finished, and its result is the same.

    Parameters
    ----------
    model
        A classifier of inputs (B, 1, H, W) in [0, 1]; its parameters are not changed. It is moved to
        `device`.
    images, labels
        uint8 (S, H, W) and int (S,), the samples.
    sample
        int (S,), their indices in the test set; with `seed` and the repetition they decide everything random,
        so that neither batches nor the other samples matter.
    pool_images, pool_labels
        uint8 (P, H, W) and int (P,), images that Brendel-Bethge attacks may start from; the test set.
    method
        A name from `attack_methods`.
    settings
        One mapping per setting; what it leaves out has the method's default.
    repetitions
        At least 1.
    seed
        Decides random starts.
    batch_size
        Samples attacked at once.
    device
        Where to compute.
    resume_path
        Where the state of the unfinished search is kept, from batch to batch; the caller deletes it. None
        keeps none.
    code
        What tells this version of the code from others; a search goes on only under the same.

    Raises
    ------
    InputError
        If the method, a setting or the number of repetitions will not do, or the model's logits are not
        finite.
    """
    attack = find_method(method)
    settings = tuple(complete_setting(method, setting) for setting in settings)
    if not settings or repetitions < 1:
        raise InputError(
            f"attacks: {len(settings)} settings, {repetitions} repetitions for {method}; expected 1 or more."
        )
    run = attack.load()
    forward = {"batch_size": batch_size, "device": device}
    clean, targets = to_input(images), torch.as_tensor(np.asarray(labels, dtype=np.int64))
    correct = predict(model, clean, **forward).argmax(dim=1) == targets
    seeds = torch.tensor([derive_seed(seed, "attack", int(index)) for index in sample], dtype=torch.int64)
    starts = [None] * repetitions
    if attack.needs_starting_points:
        pool, pool_labels = to_input(pool_images), np.asarray(pool_labels)
        pool_logits = predict(model, pool, **forward).numpy()
        starts = [
            _starting_points(pool, pool_logits, pool_labels, targets, seeds, repetition)
            for repetition in range(repetitions)
        ]

    decisive = {"method": method, "settings": settings, "repetitions": repetitions, "seed": seed}
    decisive |= {"batch_size": batch_size, "device": device.type, "model": repr(model), "code": code}
    weights = [tensor.detach().cpu().numpy() for tensor in model.state_dict().values()]
    arrays = map(np.asarray, (images, labels, sample, pool_images, pool_labels, *weights))
    mark = fingerprint(decisive, arrays) if resume_path else ""
    progress = load_progress(resume_path, mark) if resume_path else None
    batches = correct.nonzero()[:, 0].split(batch_size)
    if progress:
        logger.info("going on after %d batches", len(progress.history))
    else:
        progress = Progress(tensors=_nothing_found((len(settings), repetitions), clean))
    state = progress.tensors
    candidates, queries = state["search"]["candidates"], state["search"]["queries"]
    tries = list(product(range(len(settings)), range(repetitions), range(len(batches))))
    for index, repetition, batch in tries[len(progress.history) :]:
        begun = time.perf_counter()
        start, rows = starts[repetition], batches[batch]
        if batch == 0:
            candidates.fill_(torch.nan)
        if len(rows):
            with evaluation(model, device):
                found, passes = run(
                    model,
                    clean[rows].to(device),
                    targets[rows].to(device),
                    setting=settings[index],
                    repetition=repetition,
                    seeds=seeds[rows],
                    starting_points=None if start is None else start[rows].to(device),
                )
            candidates[rows] = found.detach().cpu()
            queries[index, repetition, rows] = passes.cpu()
        last = batch == len(batches) - 1
        if last:
            outcome = verify(model, clean, targets, candidates, **forward)
            _keep(state, outcome, correct, index, repetition)
        progress.history.append({"seconds": time.perf_counter() - begun})
        if resume_path:
            save_progress(resume_path, progress, mark)
        if last:
            logger.info(
                "%s: setting %d of %d, repetition %d of %d: %d of %d correct samples, median %s %.4g, %.1f s",
                method,
                index + 1,
                len(settings),
                repetition + 1,
                repetitions,
                (outcome.verified & correct).sum(),
                correct.sum(),
                attack.norm,
                np.median(outcome.distance[attack.norm].numpy()),
                sum(row["seconds"] for row in progress.history[-len(batches) :]),
            )
    as_arrays = {
        group: {name: tensor.numpy() for name, tensor in tensors.items()} for group, tensors in state.items()
    }
    return AttackResult(
        sample=np.asarray(sample, dtype=np.int64),
        label=targets.numpy(),
        clean=np.asarray(images),
        clean_correct=correct.numpy(),
        distance=as_arrays["distance"],
        best_adversarial=as_arrays["best_adversarial"],
        predicted={
            norm: _classes(model, best, **forward) for norm, best in state["best_adversarial"].items()
        },
        found_by=as_arrays["found_by"],
        queries=as_arrays["search"]["queries"],
        verified=as_arrays["search"]["verified"],
        settings=settings,
    )


def _nothing_found(tries: tuple[int, int], clean: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    """Return the state before the first batch, as an unfinished search keeps it."""
    shape = (*tries, len(clean))
    return {
        "distance": {norm: torch.full(shape, torch.inf) for norm in NORMS},
        # In float64: of two distances that round to the same float32 the smaller one wins.
        "closest": {norm: torch.full(shape[2:], torch.inf, dtype=torch.float64) for norm in NORMS},
        "best_adversarial": {norm: torch.full_like(clean[:, 0], torch.nan) for norm in NORMS},
        "found_by": {norm: torch.full((len(clean), 2), -1) for norm in NORMS},
        "search": {
            "queries": torch.zeros(shape, dtype=torch.int64),
            "verified": torch.zeros(shape, dtype=torch.bool),
            "candidates": torch.full_like(clean, torch.nan),
        },
    }


def _keep(
    state: dict[str, dict[str, torch.Tensor]],
    outcome: Verified,
    correct: torch.Tensor,
    index: int,
    repetition: int,
) -> None:
    """Enter what one repetition of one setting has found."""
    state["search"]["verified"][index, repetition] = outcome.verified
    for norm, values in outcome.distance.items():
        state["distance"][norm][index, repetition] = values.float()
        closer = values < state["closest"][norm]
        state["closest"][norm][closer] = values[closer]
        state["best_adversarial"][norm][closer] = outcome.adversarial[norm][closer, 0]
        state["found_by"][norm][closer & correct] = torch.tensor([index, repetition])


def _classes(model: nn.Module, images: torch.Tensor, *, batch_size: int, device: torch.device) -> np.ndarray:
    """Return the class that the model takes each image (S, H, W) for, -1 where it is NaN."""
    classes = torch.full((len(images),), -1)
    there = torch.isfinite(images).flatten(1).all(dim=1)
    if there.any():
        logits = predict(model, images[there, None], batch_size=batch_size, device=device)
        classes[there] = logits.argmax(dim=1)
    return classes.numpy()


def _starting_points(
    pool: torch.Tensor,
    pool_logits: np.ndarray,
    pool_labels: np.ndarray,
    labels: torch.Tensor,
    seeds: torch.Tensor,
    repetition: int,
) -> torch.Tensor:
    chosen = choose_starting_points(pool_logits, pool_labels, labels.numpy(), seeds.numpy(), repetition)
    starts = pool[np.maximum(chosen, 0)].clone()
    starts[chosen < 0] = torch.nan
    return starts
