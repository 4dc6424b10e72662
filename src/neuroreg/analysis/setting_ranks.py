"""Which settings of the attacks the smallest distances rest on, and which can go; free of torch."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from neuroreg.robustness.attack_result import NORMS, ModelSeed, Tries, setting_costs


def rank_settings(runs: Mapping[ModelSeed, Tries], tolerance: float) -> pd.DataFrame:
    """Count what each setting is good for, and mark a smaller grid that is nearly as good.

    A setting's distance to a sample is the smallest over its repetitions, whichever norm its attack
    minimises. Only correctly classified samples with an adversarial count, over all models and seeds.

    Parameters
    ----------
    runs
        (model, seed) to all tries on it; the same attacks, settings, repetitions and samples for all.
    tolerance
        As in `trim`.

    Returns
    -------
    DataFrame
        One row per setting (in the order of the config) and norm: attack, setting (JSON), norm, passes (mean
        per attacked sample and repetition, forward and backward), wins (samples whose smallest distance this
        setting holds; of equals the cheapest wins, then the first), samples (of how many), rise (the share by
        which the mean over all samples would rise without this setting alone; inf if a sample would be left
        without an adversarial), largest_rise (the same for the model where it is largest), never_wins (yes,
        no), never_wins_any_norm, and kept (yes, no: `trim`; the same for all norms).

    Raises
    ------
    InputError
        As `setting_costs`.
    """
    costs = setting_costs(runs)
    first = next(iter(runs.values()))
    names = list(dict.fromkeys(model for model, _ in runs))
    distance, group = {}, {}
    for norm in NORMS:
        parts = [tries.distance[norm][..., tries.correct].min(axis=1) for tries in runs.values()]
        joined = np.concatenate(parts, axis=1).astype(np.float64)
        models = [names.index(run[0]) for run, part in zip(runs, parts, strict=True) for _ in part.T]
        found = np.isfinite(joined).any(axis=0)
        distance[norm], group[norm] = joined[:, found], np.array(models, dtype=np.int64)[found]
    reference = np.array([attack not in first.attack[:index] for index, attack in enumerate(first.attack)])
    kept = trim(distance, group, reference, costs, tolerance)
    cheapest = np.argsort(costs, kind="stable")
    frames = []
    for norm in NORMS:
        winners = cheapest[distance[norm][cheapest].argmin(axis=0)]
        wins = np.bincount(winners, minlength=len(costs))
        per_model = relative_rises(distance[norm], group[norm])
        together = relative_rises(distance[norm], np.zeros_like(group[norm]))
        frames.append(
            pd.DataFrame(
                {
                    "attack": first.attack,
                    "setting": first.setting,
                    "norm": norm,
                    "passes": costs,
                    "wins": wins,
                    "samples": len(winners),
                    "rise": together.max(axis=1, initial=0),
                    "largest_rise": per_model.max(axis=1, initial=0),
                }
            )
        )
    table = pd.concat(frames).sort_index(kind="stable")
    never = table["wins"] == 0
    table["never_wins"] = _words(never)
    table["never_wins_any_norm"] = _words(never.groupby(level=0).transform("all"))
    table["kept"] = _words(pd.Series(kept).reindex(table.index))
    return table.reset_index(drop=True)


def _words(flags: pd.Series) -> pd.Series:
    return flags.map({True: "yes", False: "no"})


def relative_rises(distance: np.ndarray, group: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """Return by how much mean minimal distances rise if one more setting is dropped, relative to that of all.

    Parameters
    ----------
    distance
        float64 (T, N), above 0 or inf; each sample has a finite one.
    group
        int (N,), from 0: means are taken over the samples of a group.
    kept
        bool (T,), the settings that are there, at least one; all if None.

    Returns
    -------
    ndarray
        float64 (T, groups): the mean without this setting over the mean with all T settings, less 1; inf if a
        sample is left without an adversarial, 0 for a group without samples. Rows of settings that are not
        there tell the rise as it is.
    """
    there = np.arange(len(distance)) if kept is None else np.flatnonzero(kept)
    groups = group.max(initial=-1) + 1
    full = np.bincount(group, distance.min(axis=0), groups).astype(np.float64)
    full[full == 0] = np.nan
    # One more row, so that there is a second smallest where a single setting is left.
    left = np.vstack([distance[there], np.full((1, len(group)), np.inf)])
    smallest, second = np.partition(left, 1, axis=0)[:2]
    lost = np.full((len(distance), groups), 0.0)
    with np.errstate(invalid="ignore"):  # inf - inf: lost already
        np.add.at(
            lost, (there[left[:-1].argmin(axis=0)], group), np.nan_to_num(second - smallest, posinf=np.inf)
        )
    rises = (np.bincount(group, smallest, groups) / full - 1) + lost / full
    return np.nan_to_num(rises, posinf=np.inf)


def trim(
    distance: Mapping[str, np.ndarray],
    group: Mapping[str, np.ndarray],
    reference: np.ndarray,
    costs: np.ndarray,
    tolerance: float,
) -> np.ndarray:
    """Return a small list of settings whose mean minimal distances are nearly those of all.

    Greedy, from all settings downwards: the setting is dropped whose going raises the means least, as long as
    no model's mean under any norm is more than `tolerance` above that of all settings and no sample loses its
    last adversarial. "Least" is the mean over models and norms; of equals the dearest goes, then the last. No
    single setting of the result could go as well; a smaller list that swaps settings may exist.

    Parameters
    ----------
    distance
        Norm to float64 (T, N): each setting's distance, above 0 or inf; each sample has a finite one.
    group
        Norm to int (N,), the sample's model.
    reference
        bool (T,), settings that stay whatever they find.
    costs
        float (T,).
    tolerance
        At least 0; relative.

    Returns
    -------
    ndarray
        bool (T,), the settings kept.
    """
    kept = np.ones(len(reference), dtype=bool)
    while True:
        rises = np.concatenate(
            [relative_rises(distance[norm], group[norm], kept) for norm in distance], axis=1
        )
        may_go = kept & ~reference & (rises <= tolerance).all(axis=1)
        if not may_go.any():
            return kept
        candidates = np.flatnonzero(may_go)
        mean = rises[candidates].mean(axis=1) if rises.shape[1] else np.zeros(len(candidates))
        # lexsort's last key counts most.
        kept[candidates[np.lexsort((-candidates, -costs[candidates], mean))[0]]] = False
