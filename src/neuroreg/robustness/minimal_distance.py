"""The search for the smallest adversarial perturbation: one attack on one model, many tries."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from neuroreg.errors import InputError, naming
from neuroreg.files.resume import ResumeFile
from neuroreg.images.classification import stratified_sample
from neuroreg.robustness.attack_result import NORMS, AttackResult
from neuroreg.robustness.attacks.registry import complete_setting, find_method
from neuroreg.robustness.attacks.rows import Rows, run_watched, setting_of_rows
from neuroreg.robustness.evaluation import FixedBatch, evaluation, predict, quick, require_finite, to_input
from neuroreg.robustness.logit_margin import Scaled, logit_factor
from neuroreg.robustness.rows_at_once import rows_at_once
from neuroreg.robustness.starting_points import require_starting_points, starting_points
from neuroreg.robustness.verification import Verified, verify
from neuroreg.seeds import derive_seed

logger = logging.getLogger(__name__)
State = dict[str, dict[str, torch.Tensor]]
# Rows of each pass if padded. One size for all, since what a size depends on decides bits: if it
# fell with the rows that are left, the neighbours would. Smaller passes fill up less, but each costs more.
PADDED = 16


def choose_samples(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return indices of `n` samples, drawn without replacement in proportion to the classes.

    Parameters
    ----------
    labels
        int (N,), the test set's labels.
    n
        How many, 1 to N.
    seed
        Decides which; no model takes part, so every model gets the same samples.

    Returns
    -------
    ndarray
        int64 (n,), ascending, without repeats. Each class has its proportional share, rounded down or up.

    Raises
    ------
    InputError
        If `n` is below 1 or above N.
    """
    labels = np.asarray(labels)
    if not 1 <= n <= len(labels):
        raise InputError(
            f"attacks: {n} samples asked for; expected 1 to {len(labels)}, the test images there are."
        )
    rng = np.random.default_rng(derive_seed(seed, "attack samples"))
    return stratified_sample(labels, n, rng)


def search(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    sample: np.ndarray,
    *,
    method: str,
    settings: Sequence[Mapping],
    repetitions: int,
    seed: int,
    batch_size: int | Literal["auto"],
    device: torch.device,
    pool: tuple[np.ndarray, np.ndarray] | None = None,
    logit_margin: float | None = None,
    pad: bool = False,
    pool_logits: Callable[[], np.ndarray] | None = None,
    resume: ResumeFile | None = None,
    save_every: float = 60.0,
) -> AttackResult:
    """Attack every correctly classified sample with each setting, several times, and verify what is found.

    A try that meets logits that are not finite has failed; a sample whose own are not finite counts as
    misclassified. Both are named in the log, and neither stops the search.

    A try, that is a setting, a repetition and a sample, is one row of a batch. Settings with the same whole
    numbers are attacked together. Batch norm is folded for the attacks, not for the verification.

    Killed and called again, it goes on after the last batch whose state was saved, interrupted after the last
    one that was whole, and its result is the same.

    Parameters
    ----------
    model
        A classifier of inputs (B, 1, H, W) in [0, 1]; its parameters are not changed. It is moved to
        `device`.
    images, labels
        uint8 (N, H, W) and int (N,), the test set.
    sample
        int (S,), which of them to attack; with `seed` and the repetition these indices decide everything
        random, so that neither batches nor the other samples matter.
    method
        A name from `attack_methods`.
    settings
        One mapping per setting; what it leaves out has the method's default.
    repetitions
        At least 1.
    seed
        Decides random starts.
    batch_size
        Rows attacked at once; ``"auto"`` as `rows_at_once`, for all samples and repetitions of one setting.
    device
        Where to compute.
    pool
        uint8 (P, H, W) and int (P,), images and their labels that Brendel-Bethge attacks may start from; the
        test set if None.
    logit_margin
        The mean margin of the logits that attacks see, by one factor (see `logit_factor`, of the pool);
        verification sees the logits as they are. None: attacks, too.
    pad
        Whether on a CPU all passes are of one size, 16 rows or `batch_size` if that is less, the last ones
        filled up. The result of a row of 32x32 pixels on a network that is trained here is then the same to
        the bit whatever the other samples; without, of other networks and on a GPU, their number may change
        it by rounding.
    pool_logits
        Returns the model's logits of the pool, float (P, classes), if they are known already; called where
        the method needs starting points.
    resume
        Where the state of the unfinished search is kept.
    save_every
        Seconds: the state is saved after a batch if as many have passed since it last was (0: after each
        batch), and at the end of each setting.

    Raises
    ------
    InputError
        If the method, a setting or the number of repetitions will not do, the model's logits are finite for
        none of the samples, or the pool has no starting point for any sample where the method needs them.
    """
    pool_images, pool_labels = (images, labels) if pool is None else pool
    images, labels = np.asarray(images)[sample], np.asarray(labels)[sample]
    attack = find_method(method)
    settings = tuple(complete_setting(method, setting) for setting in settings)
    if not settings or repetitions < 1:
        raise InputError(
            f"attacks: {len(settings)} settings, {repetitions} repetitions for {method}; expected 1 or more."
        )
    decisive = {"method": method, "settings": settings, "repetitions": repetitions, "seed": seed}
    decisive |= {"batch_size": batch_size, "device": device.type, "model": repr(model), "pad": pad}
    decisive |= {"logit_margin": logit_margin}
    weights = [tensor.detach().cpu().numpy() for tensor in model.state_dict().values()]
    arrays = map(np.asarray, (images, labels, sample, pool_images, pool_labels, *weights))
    resume = resume or ResumeFile()
    progress = resume.load(decisive, arrays)

    run, attacked = attack.load(), quick(model, device)
    if progress.history:  # how much of a GPU is free may have changed
        batch_size = int(progress.history[0].get("batch_size", batch_size))
    else:
        most, shape = len(images) * repetitions, (1, *images.shape[1:])
        batch_size = rows_at_once(batch_size, attacked, shape, device, most)
    if pad and device.type == "cpu":
        passed = min(batch_size, PADDED)
        model, attacked = FixedBatch(model, passed), FixedBatch(attacked, passed)
    forward = {"batch_size": batch_size, "device": device}
    factor = 1.0
    if logit_margin is not None:
        factor = logit_factor(model, pool_images, pool_labels, margin=logit_margin, seed=seed, **forward)
        attacked = Scaled(attacked, factor)
    clean, targets = to_input(images), torch.as_tensor(np.asarray(labels, dtype=np.int64))
    correct = _correct(predict(model, clean, **forward, finite=False), targets, sample)
    seeds = torch.tensor([derive_seed(seed, "attack", int(index)) for index in sample], dtype=torch.int64)
    starts = None
    if attack.needs_starting_points:
        begins, pool_labels = to_input(pool_images), np.asarray(pool_labels)
        known = (
            predict(model, begins, **forward, finite=False).numpy() if pool_logits is None else pool_logits()
        )
        starts = torch.stack(
            [
                starting_points(begins, known, pool_labels, targets, seeds, repetition)
                for repetition in range(repetitions)
            ]
        )
        require_starting_points(method, torch.isfinite(starts[0, :, 0, 0, 0]), correct, sample)

    if progress.history:
        logger.info("going on after %d batches", len(progress.history))
    else:
        progress.tensors = _nothing_found((len(settings), repetitions), clean, correct)
    state = progress.tensors
    batches = _batches(settings, repetitions, correct, batch_size)
    saved = time.monotonic()
    for number in range(len(progress.history), len(batches)):
        begun = time.perf_counter()
        setting, repetition, row = batches[number].T
        x = clean[row].to(device)
        with resume.saving(progress):
            with evaluation(attacked, device):
                rows = Rows(
                    x=x,
                    labels=targets[row].to(device),
                    setting=setting_of_rows(settings, setting, x),
                    repetition=repetition.to(device),
                    seeds=seeds[row].to(device),
                    starting_points=None if starts is None else starts[repetition, row].to(device),
                )
                with naming(method):
                    found, passes, not_finite = run_watched(run, attacked, rows)
            outcome = verify(model, clean[row], targets[row], found, **forward, correct=correct[row])
        _keep(state, outcome, passes.cpu(), not_finite, batches[number])
        progress.history.append({"seconds": time.perf_counter() - begun, "batch_size": batch_size})
        ended = _ended(batches, number)
        if ended or time.monotonic() - saved >= save_every:
            resume.save(progress)
            saved = time.monotonic()
        _log(method, attack.norm, state, batches, progress.history, ended)
    _warn_of_failures(method, state["search"]["not_finite"], sample)
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
        passes=as_arrays["search"]["passes"],
        verified=as_arrays["search"]["verified"],
        not_finite=as_arrays["search"]["not_finite"],
        settings=settings,
        logit_factor=factor,
    )


def _correct(logits: torch.Tensor, targets: torch.Tensor, sample: np.ndarray) -> torch.Tensor:
    """Return which samples the model gets right, bool (S,); name those for which it has no finite logits.

    Raises
    ------
    InputError
        If it has none for any.
    """
    finite = torch.isfinite(logits).all(dim=1)
    if not finite.any():
        require_finite(logits)
    if not finite.all():
        logger.warning(
            "the model's logits are NaN or infinite for %d of %d samples, which count as misclassified: %s",
            (~finite).sum(),
            len(finite),
            ", ".join(map(str, np.asarray(sample)[(~finite).numpy()])),
        )
    return finite & (logits.argmax(dim=1) == targets)


def _warn_of_failures(method: str, not_finite: torch.Tensor, sample: np.ndarray) -> None:
    """Name in the log the samples of tries that met logits that are not finite."""
    if not not_finite.any():
        return
    logger.warning(
        "%s: %d of %d tries met logits that are NaN or infinite and count as failed; samples %s",
        method,
        not_finite.sum(),
        not_finite.numel(),
        ", ".join(map(str, np.asarray(sample)[not_finite.any(dim=0).any(dim=0).numpy()])),
    )


def _batches(
    settings: Sequence[Mapping], repetitions: int, correct: torch.Tensor, batch_size: int
) -> list[torch.Tensor]:
    """Return int64 (rows, 3) each: setting, repetition and sample of rows to attack together."""
    groups: dict[tuple, list[int]] = {}
    for index, setting in enumerate(settings):
        whole = tuple(value for value in setting.values() if isinstance(value, int))
        groups.setdefault(whole, []).append(index)
    return [
        batch
        for group in groups.values()
        for batch in torch.cartesian_prod(
            torch.tensor(group), torch.arange(repetitions), correct.nonzero()[:, 0]
        ).split(batch_size)
        if len(batch)
    ]


def _nothing_found(tries: tuple[int, int], clean: torch.Tensor, correct: torch.Tensor) -> State:
    """Return the state before the first batch, as an unfinished search keeps it.

    A misclassified sample is its own adversarial.
    """
    shape = (*tries, len(clean))
    none = torch.where(correct, torch.inf, 0.0)
    return {
        "distance": {norm: none.repeat(*tries, 1) for norm in NORMS},
        # In float64: of two distances that round to the same float32 the smaller one wins.
        "closest": {norm: none.double() for norm in NORMS},
        "best_adversarial": {
            norm: torch.where(correct[:, None, None], torch.nan, clean[:, 0]) for norm in NORMS
        },
        "found_by": {norm: torch.full((len(clean), 2), -1) for norm in NORMS},
        "search": {
            "passes": torch.zeros(shape, dtype=torch.int64),
            "verified": ~correct.repeat(*tries, 1),
            "not_finite": torch.zeros(shape, dtype=torch.bool),
        },
    }


def _keep(
    state: State, outcome: Verified, passes: torch.Tensor, not_finite: torch.Tensor, batch: torch.Tensor
) -> None:
    """Enter what the tries of one batch have found.

    Of tries that are equally close the first counts, by setting, then by repetition, whatever the batches.
    """
    setting, repetition, row = batch.T
    state["search"]["passes"][setting, repetition, row] = passes
    state["search"]["not_finite"][setting, repetition, row] = not_finite
    state["search"]["verified"][setting, repetition, row] = outcome.verified
    for norm, values in outcome.distance.items():
        state["distance"][norm][setting, repetition, row] = values.float()
        closest, found_by = state["closest"][norm], state["found_by"][norm]
        order = np.lexsort((repetition, setting, values, row))
        _, first = np.unique(row[order], return_index=True)
        for best in order[first]:
            sample, value = row[best], values[best]
            rank = (value.item(), *batch[best, :2].tolist())
            if torch.isfinite(value) and rank < (closest[sample].item(), *found_by[sample].tolist()):
                closest[sample], found_by[sample] = value, batch[best, :2]
                state["best_adversarial"][norm][sample] = outcome.adversarial[norm][best, 0]


def _ended(batches: Sequence[torch.Tensor], number: int) -> list[int]:
    """Return the settings of which batch `number` is the last one."""
    following = batches[number + 1][:, 0].tolist() if number + 1 < len(batches) else []
    return sorted(set(batches[number][:, 0].tolist()) - set(following))


def _log(
    method: str,
    norm: str,
    state: State,
    batches: Sequence[torch.Tensor],
    history: Sequence[Mapping],
    ended: Sequence[int],
) -> None:
    """Say what the last batch took, and of each setting that it `ended`, what was found."""
    done, last = len(history), batches[len(history) - 1]
    rows = sum(map(len, batches[:done]))
    left = sum(row["seconds"] for row in history) / rows * sum(map(len, batches[done:]))
    logger.info(
        "%s: batch %d of %d, %d rows, %.1f s, %.0f s left for this attack",
        method, done, len(batches), len(last), history[-1]["seconds"], left,
    )  # fmt: skip
    for index in ended:
        smallest = state["distance"][norm][index].amin(dim=0)
        logger.info(
            "%s: setting %d of %d: %d of %d samples, median %s %.4g, with misclassified ones",
            method,
            index + 1,
            len(state["distance"][norm]),
            torch.isfinite(smallest).sum(),
            len(smallest),
            norm,
            np.median(smallest.numpy()),
        )


def _classes(model: nn.Module, images: torch.Tensor, *, batch_size: int, device: torch.device) -> np.ndarray:
    """Return the class that the model takes each image (S, H, W) for, -1 where it or a logit is NaN."""
    classes = torch.full((len(images),), -1)
    there = torch.isfinite(images).flatten(1).all(dim=1)
    if there.any():
        logits = predict(model, images[there, None], batch_size=batch_size, device=device, finite=False)
        classes[there] = torch.where(torch.isfinite(logits).all(dim=1), logits.argmax(dim=1), -1)
    return classes.numpy()
