"""A random search for adversarials that sees logits only, to set beside attacks that use gradients."""

import numpy as np
import torch
from torch import Tensor, nn

from neuroreg.robustness.evaluation import predict
from neuroreg.seeds import derive_seed

# Of the image's area: the first and the last change that is tried.
FIRST_SHARE, LAST_SHARE = 0.5, 0.02


def random_search(
    model: nn.Module,
    clean: Tensor,
    labels: Tensor,
    sizes: np.ndarray,
    norm: str,
    *,
    queries: int,
    seeds: np.ndarray,
    batch_size: int,
    device: torch.device,
) -> Tensor:
    """Return the first adversarial candidates met within a given distance of each image.

    The first third of the queries are independent random perturbations; then the best is changed a little at
    a time, keeping what lowers the label's lead over the other logits, in squares that shrink, after the
    Square attack (Andriushchenko et al. 2020); for L0 in pixels set to 0 or 1.

    Parameters
    ----------
    model
        A classifier of inputs (B, 1, H, W).
    clean
        float32 (N, 1, H, W) in [0, 1].
    labels
        int64 (N,).
    sizes
        float (N,), the largest distance allowed under `norm`, which candidates reach or, at the box's edge,
        stay below.
    norm
        ``"l0"``, ``"l1"``, ``"l2"`` or ``"linf"``.
    queries
        Forward passes per image at the most.
    seeds
        int (N,), one per image: neither batches nor the other images matter.
    batch_size, device
        Of the forward passes.

    Returns
    -------
    Tensor
        float32 (N, 1, H, W), NaN where no query was adversarial.
    """
    images, own = clean[:, 0].numpy().astype(np.float64), labels.numpy()
    rngs = [np.random.default_rng(derive_seed(int(seed), "black box", norm)) for seed in seeds]
    best, lead = images.copy(), np.full(len(images), np.inf)
    found = torch.full_like(clean, torch.nan)
    open_rows = np.arange(len(images))
    for query in range(queries):
        if not len(open_rows):
            break
        afresh = 3 * query < queries
        share = FIRST_SHARE * (LAST_SHARE / FIRST_SHARE) ** (query / queries)
        tried = np.stack(
            [
                _propose(norm, images[r], None if afresh else best[r], sizes[r], share, rngs[r])
                for r in open_rows
            ]
        )
        inputs = torch.from_numpy(tried.astype(np.float32))[:, None]
        logits = predict(model, inputs, batch_size=batch_size, device=device, finite=False)
        logits = logits.numpy().astype(np.float64)
        label = own[open_rows][:, None]
        others = logits.copy()
        np.put_along_axis(others, label, -np.inf, axis=1)
        leads = np.take_along_axis(logits, label, axis=1)[:, 0] - others.max(axis=1)
        # What the model has no answer for is no adversarial.
        leads[~np.isfinite(logits).all(axis=1)] = np.inf
        better = leads < lead[open_rows]
        best[open_rows[better]], lead[open_rows[better]] = tried[better], leads[better]
        adversarial = leads < 0
        found[torch.from_numpy(open_rows[adversarial])] = inputs[torch.from_numpy(adversarial)]
        open_rows = open_rows[~adversarial]
    return found


def _propose(
    norm: str,
    clean: np.ndarray,
    current: np.ndarray | None,
    size: float,
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return another point (H, W) within `size` of `clean`, drawn afresh if there is no current one."""
    afresh = current is None
    current = clean if afresh else current
    if norm == "l0":
        return _other_pixels(clean, current, int(size), share, rng)
    delta = current - clean
    window = _square(clean.shape, share, rng)
    sign = rng.choice([-1.0, 1.0])
    if norm == "linf":
        # Noise of both signs, or stripes, to begin with.
        shape = clean.shape if rng.random() < 0.5 else (1, clean.shape[1])
        delta = np.broadcast_to(rng.choice([-1.0, 1.0], shape), clean.shape) * size if afresh else delta
        # The other sign than in the square's corner, so that something changes.
        delta = np.where(window, size * (-np.sign(delta[window][0]) or sign), delta)
    else:
        order = 1 if norm == "l1" else 2
        change = window * sign if not afresh or rng.random() < 0.5 else rng.standard_normal(clean.shape)
        change = change / np.linalg.norm(change.ravel(), order)
        delta = delta / size + (1.0 if afresh else np.sqrt(share)) * change
        delta = size * delta / max(np.linalg.norm(delta.ravel(), order), 1e-12)
    return np.clip(clean + delta, 0.0, 1.0)


def _square(shape: tuple[int, int], share: float, rng: np.random.Generator) -> np.ndarray:
    side = max(1, round(np.sqrt(share * shape[0] * shape[1])))
    top, left = (rng.integers(0, max(1, length - side + 1)) for length in shape)
    window = np.zeros(shape, dtype=bool)
    window[top : top + side, left : left + side] = True
    return window


def _other_pixels(
    clean: np.ndarray, current: np.ndarray, count: int, share: float, rng: np.random.Generator
) -> np.ndarray:
    changed = np.flatnonzero((current != clean).ravel())
    kept = rng.permutation(changed)[: count - max(1, round(share * count))] if count else changed[:0]
    result = clean.copy().ravel()
    result[kept] = current.ravel()[kept]
    new = rng.choice(np.setdiff1d(np.arange(clean.size), kept), count - len(kept), replace=False)
    result[new] = rng.integers(0, 2, len(new))
    return result.reshape(clean.shape)
