"""The search for the smallest adversarial perturbation: one attack on one model, many tries."""

import logging
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from neuroreg.errors import InputError
from neuroreg.robustness.attack_result import NORMS, AttackResult
from neuroreg.robustness.attacks.registry import complete_setting, find_method
from neuroreg.robustness.attacks.starting_points import choose_starting_points
from neuroreg.robustness.evaluation import evaluation, predict, to_input
from neuroreg.robustness.verification import verify
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
) -> AttackResult:
    """Attack every correctly classified sample with each setting, several times, and verify what is found.

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

    shape = (len(settings), repetitions, len(clean))
    distance = {norm: np.full(shape, np.inf, dtype=np.float32) for norm in NORMS}
    closest = {norm: np.full(len(clean), np.inf) for norm in NORMS}
    best = {norm: np.full(clean[:, 0].shape, np.nan, dtype=np.float32) for norm in NORMS}
    queries, verified = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)

    for index, setting in enumerate(settings):
        for repetition in range(repetitions):
            begun = time.perf_counter()
            start = starts[repetition]
            candidates = torch.full_like(clean, torch.nan)
            for rows in _batches(correct, batch_size):
                with evaluation(model, device):
                    found, passes = run(
                        model,
                        clean[rows].to(device),
                        targets[rows].to(device),
                        setting=setting,
                        repetition=repetition,
                        seeds=seeds[rows],
                        starting_points=None if start is None else start[rows].to(device),
                    )
                candidates[rows] = found.detach().cpu()
                queries[index, repetition, rows.numpy()] = passes.numpy()
            outcome = verify(model, clean, targets, candidates, **forward)
            verified[index, repetition] = outcome.verified.numpy()
            for norm in NORMS:
                values = outcome.distance[norm].numpy()
                distance[norm][index, repetition] = values
                closer = values < closest[norm]
                closest[norm][closer] = values[closer]
                best[norm][closer] = outcome.adversarial[norm][:, 0].numpy()[closer]
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
                np.median(distance[attack.norm][index, repetition]),
                time.perf_counter() - begun,
            )
    return AttackResult(
        sample=np.asarray(sample, dtype=np.int64),
        label=targets.numpy(),
        clean_correct=correct.numpy(),
        distance=distance,
        best_adversarial=best,
        queries=queries,
        verified=verified,
        settings=settings,
    )


def _batches(correct: torch.Tensor, batch_size: int) -> tuple[torch.Tensor, ...]:
    rows = correct.nonzero()[:, 0]
    return rows.split(batch_size) if len(rows) else ()


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
