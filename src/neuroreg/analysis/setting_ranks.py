"""Which settings of the attacks the smallest distances rest on, and which can go; free of torch."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from neuroreg.analysis.smaller_lists import choose, first_of_each, relative_rises, trim
from neuroreg.robustness.attack_result import NORMS, ModelSeed, Tries, setting_costs


def rank_settings(
    runs: Mapping[ModelSeed, Tries],
    tolerance: float,
    *,
    most: float | None = None,
    norms: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """Count what each setting is good for, and mark a smaller grid that is nearly as good.

    A setting's distance to a sample is the smallest over its repetitions, whichever norm its attack
    minimises. Only correctly classified samples with an adversarial count, over all models and seeds.

    Parameters
    ----------
    runs
        (model, seed) to all tries on it; the same attacks, settings, repetitions and samples for all.
    tolerance
        As in `trim`.
    most, norms
        As in `choose`, passes of one repetition; unless `most` is None, `choose` decides instead of `trim`.

    Returns
    -------
    DataFrame
        One row per setting (in the order of the config) and norm: attack, setting (JSON), norm, passes (mean
        per attacked sample and repetition, forward and backward), wins (samples whose smallest distance this
        setting holds; of equals the cheapest wins, then the first), samples (of how many), rise (the share by
        which the mean over all samples would rise without this setting alone; inf if a sample would be left
        without an adversarial), largest_rise (the same for the model where it is largest), never_wins (yes,
        no), never_wins_any_norm, and kept (yes, no: `trim` or `choose`; the same for all norms).

    Raises
    ------
    InputError
        As `setting_costs` and `choose`.
    """
    costs = setting_costs(runs)
    first = next(iter(runs.values()))
    names = list(dict.fromkeys(model for model, _ in runs))
    distance, group, largest = {}, {}, {}
    for norm in NORMS:
        parts = [tries.distance[norm][..., tries.correct].min(axis=1) for tries in runs.values()]
        joined = np.concatenate(parts, axis=1).astype(np.float64)
        models = [names.index(run[0]) for run, part in zip(runs, parts, strict=True) for _ in part.T]
        farthest = np.concatenate([tries.largest[norm][tries.correct] for tries in runs.values()])
        found = np.isfinite(joined).any(axis=0)
        distance[norm], group[norm] = joined[:, found], np.array(models, dtype=np.int64)[found]
        largest[norm] = farthest[found]
    if most is None:
        kept = trim(distance, group, first_of_each(first.attack), costs, tolerance)
    else:
        reached = {norm: np.where(np.isfinite(d), d, largest[norm]) for norm, d in distance.items()}
        kept = choose(reached, group, first.attack, norms, costs, most)
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
