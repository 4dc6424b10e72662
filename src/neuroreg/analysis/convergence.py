"""Whether the search for minimal distances has converged: distances against its effort; free of torch."""

from collections.abc import Iterable, Iterator, Mapping
from math import comb

import numpy as np
import pandas as pd

from neuroreg.robustness.attack_result import NORMS, ModelSeed, Tries, setting_costs

AXES = ("repetitions", "settings", "budget")
CONVERGED = 0.01  # the last repetition and the last setting lower no mean by more


def expected_best(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected smallest of k values drawn without replacement, for every k, exactly.

    All subsets of k values are equally likely. The i-th smallest of n (from 1) is the smallest of a subset in
    C(n - i, k - 1) of C(n, k) cases.

    Parameters
    ----------
    values
        float (n, S): n tries on S samples; inf is a failure.

    Returns
    -------
    best : float64 (n, S)
        Row k - 1: the expectation over those subsets of k that hold a finite value; it never rises with k,
        and at k = n is the smallest value. NaN where all values are inf.
    missed : float64 (n, S)
        The share of subsets of k without a finite value, C(f, k) / C(n, k) with f failures.
    """
    n = len(values)
    ordered = np.sort(values.astype(np.float64), axis=0)
    finite = np.isfinite(ordered)
    sizes = range(1, n + 1)
    first = np.array([[comb(n - i, k - 1) / comb(n, k) for i in sizes] for k in sizes])
    none = np.array([[comb(failures, k) / comb(n, k) for failures in range(n + 1)] for k in sizes])
    missed = none[:, n - finite.sum(axis=0)]
    found = np.where(finite.any(axis=0), 1 - missed, np.nan)
    return first @ np.where(finite, ordered, 0.0) / found, missed


def convergence(runs: Mapping[ModelSeed, Tries], models: Mapping[str, str]) -> pd.DataFrame:
    """Return the mean minimal distance over all attacks against three measures of effort.

    ``repetitions``: the whole search, all settings of all attacks, with r of its R repetitions: the
    expectation over all subsets of r repetitions, sample by sample. ``settings``: t of the T settings of all
    attacks together that hold the smallest distance under the norm for any sample of any model, each with all
    repetitions: the expectation over all subsets of t. A greedy order, best first, would look converged
    whatever the settings; that of random ones falls as long as another setting of this kind helps, and with
    settings that never hold one it would fall the less, the more of these there are. ``budget``: settings in
    the order of their cost, the cheapest first, each with all repetitions; one order for all models, which no
    distance decides (mean passes per attacked sample over all runs; of equals the first in the config).

    As in Fig. 2, the mean is over all samples, misclassified ones counting 0, then over seeds; samples
    without an adversarial are left out of it and counted. Where only some of the tries find one, expectations
    are over draws that do and ``budget`` takes those found so far; so where ``not_found`` is above its last
    value the mean is that of the easier samples and too small. ``bound`` is the mean over all samples, the
    largest possible distance of the image standing for each adversarial that is not found.

    Parameters
    ----------
    runs
        (model, seed) to all tries on it; the same attacks, settings, repetitions and samples for all.
    models
        Model name to display label, in the order of the rows.

    Returns
    -------
    DataFrame
        One row per norm, model, axis and count: norm, model, label, axis, count (r or t; for ``budget`` the
        settings so far), passes (passes per attacked sample up to there, mean over seeds; for
        expectations the expected), mean, bound, not_found (samples of all seeds, expected), n (samples of all
        seeds), n_correct (those attacked), gain (the share by which the mean fell since the row before; NaN
        in the first), attack and setting (``budget`` only: the one added), and verdict: one sentence per
        norm, in the norm's first row.

    Raises
    ------
    InputError
        As `setting_costs`.
    """
    costs = setting_costs(runs)
    order = np.argsort(costs, kind="stable")
    first = next(iter(runs.values()))
    frames = []
    for norm in NORMS:
        parts, used = [], used_settings(runs.values(), norm)
        for model, label in models.items():
            own = [tries for (name, _), tries in runs.items() if name == model]
            curves = [dict(_curves(tries, norm, order, used)) for tries in own]
            counted = {
                "n": sum(len(tries.correct) for tries in own),
                "n_correct": sum(int(tries.correct.sum()) for tries in own),
            }
            for axis in AXES:
                passes, mean, bound, not_found = np.stack([curve[axis] for curve in curves], axis=1)
                head = {"norm": norm, "model": model, "label": label, "axis": axis}
                part = pd.DataFrame({**head, "count": np.arange(1, mean.shape[1] + 1)})
                part = part.assign(passes=_mean(passes), mean=_mean(mean), bound=_mean(bound))
                part = part.assign(not_found=not_found.sum(axis=0))
                before = part["mean"].shift()
                part = part.assign(**counted, gain=1 - part["mean"] / before.where(before > 0))
                if axis == "budget":
                    part["attack"] = [first.attack[index] for index in order]
                    part["setting"] = [first.setting[index] for index in order]
                parts.append(part)
        rows = pd.concat(parts, ignore_index=True)
        rows["verdict"] = [verdict(rows)] + [""] * (len(rows) - 1)
        frames.append(rows)
    return pd.concat(frames, ignore_index=True)


def used_settings(runs: Iterable[Tries], norm: str) -> np.ndarray:
    """Return bool (T,), which settings hold the smallest distance for any attacked sample of any run.

    All where nothing was found.
    """
    holds = []
    for tries in runs:
        smallest = tries.distance[norm][..., tries.correct].min(axis=1)
        best = smallest.min(axis=0, initial=np.inf)
        holds.append(((smallest == best) & np.isfinite(best)).any(axis=1))
    used = np.any(holds, axis=0)
    return used if used.any() else ~used


def _curves(tries: Tries, norm: str, order: np.ndarray, used: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each axis and float64 (4, counts): passes, mean, bound, not found."""
    distance = tries.distance[norm].astype(np.float64)
    per_setting = distance.min(axis=1)
    spent = tries.passes[..., tries.correct].sum(axis=1)
    spent = spent.mean(axis=1) if spent.shape[1] else np.full(len(spent), np.nan)
    for axis, values, total in (
        ("repetitions", distance.min(axis=0), spent.sum()),
        ("settings", per_setting[used], spent[used].sum()),
    ):
        best, missed = expected_best(values)
        counts = np.arange(1, len(values) + 1)
        bound = np.where(missed < 1, best * (1 - missed), 0) + missed * tries.largest[norm]
        spent_so_far = total * counts / len(values)
        yield axis, np.stack([spent_so_far, _mean(best, axis=1), bound.mean(axis=1), missed.sum(axis=1)])
    so_far = np.minimum.accumulate(per_setting[order], axis=0)
    lost = np.isinf(so_far)
    mean = _mean(np.where(lost, np.nan, so_far), axis=1)
    bound = np.where(lost, tries.largest[norm], so_far).mean(axis=1)
    yield "budget", np.stack([np.cumsum(spent[order]), mean, bound, lost.sum(axis=1)])


def _mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the mean without NaN; NaN, without a warning, where nothing else is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    return np.where(known, values, 0).sum(axis=axis) / np.where(count, count, np.nan)


def verdict(rows: pd.DataFrame) -> str:
    """Return one sentence on the convergence of one norm, from its rows of `convergence`.

    It names the largest gain over models through the last repetition, the last setting, and the settings that
    take the dearer half of the passes. Converged: neither of the first two is above `CONVERGED`, nor
    is the share of attacked samples for which the last one found the first adversarial; undecided: one of
    them cannot be known.
    """
    last = rows.groupby(["model", "axis"], sort=False).tail(1).set_index("axis")
    effects, first_ones, gains = [], [], []
    for axis in AXES[:2]:
        part = last.loc[[axis]].set_index("label")
        gain, count, alone = part["gain"], part["count"].iloc[0], _found_at_last(rows[rows["axis"] == axis])
        gains += [*gain, alone]
        if gain.notna().any():
            effects.append(f"the last of {count} {axis} by at most {_percent(gain.max())} ({gain.idxmax()})")
        if alone > CONVERGED:
            first_ones.append(
                f"; the last of {count} {axis} finds the first adversarial of {_percent(alone)} of samples"
            )
    halves = [_second_half(run) for _, run in rows[rows["axis"] == "budget"].groupby("model", sort=False)]
    if not np.isnan(halves).all():
        effects.append(f"the dearer half of the passes by at most {_percent(np.nanmax(halves))}")
    if np.nanmax(gains) > CONVERGED:
        state = "not converged"
    else:
        state = "undecided" if np.isnan(gains).any() else "converged"
    if not effects:
        return f"Nothing was found, or in one try only: {state}."
    falls = ", ".join(f"through {effect}" for effect in effects)
    return f"The mean falls {falls}{''.join(first_ones)}: {state}."


def _found_at_last(rows: pd.DataFrame) -> float:
    """Return the largest share over models of attacked samples whose first adversarial is the last row's."""
    shares = [0.0]
    for _, run in rows.groupby("model", sort=False):
        before, after = run["not_found"].iloc[[-2, -1]] if len(run) > 1 else (0, 0)
        shares.append((before - after) / max(run["n_correct"].iloc[-1], 1))
    return max(shares)


def _percent(share: float) -> str:
    return f"{max(100 * share, 0):.2g} %"


def _second_half(budget: pd.DataFrame) -> float:
    """Return the share by which the mean falls after the last row within half of the passes."""
    half = budget[budget["passes"] <= budget["passes"].iloc[-1] / 2]
    before = half["mean"].iloc[-1] if len(half) else np.nan
    return 1 - budget["mean"].iloc[-1] / before if before > 0 else np.nan
