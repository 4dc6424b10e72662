"""Lists of attack settings that are nearly as good as all of them; free of torch."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from neuroreg.errors import InputError

# How much an attack's own mean counts in `choose`, beside the means over all attacks. What decides nothing on
# some models may on others.
OWN = 0.1


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
    smallest, second, holder = _two_smallest(distance, there)
    lost = np.full((len(distance), groups), 0.0)
    with np.errstate(invalid="ignore"):  # inf - inf: lost already
        np.add.at(lost, (holder, group), np.nan_to_num(second - smallest, posinf=np.inf))
    rises = (np.bincount(group, smallest, groups) / full - 1) + lost / full
    return np.nan_to_num(rises, posinf=np.inf)


def _two_smallest(distance: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each sample's smallest and second smallest distance to the settings `there`, and who holds it.

    Of a single setting the second smallest is inf.
    """
    left = np.vstack([distance[there], np.full((1, distance.shape[1]), np.inf)])
    smallest, second = np.partition(left, 1, axis=0)[:2]
    return smallest, second, there[left[:-1].argmin(axis=0)]


def first_of_each(attack: Sequence[str]) -> np.ndarray:
    """Return bool (T,), which of T settings are the first of their attacks."""
    return np.array([name not in attack[:index] for index, name in enumerate(attack)])


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


def choose(
    distance: Mapping[str, np.ndarray],
    group: Mapping[str, np.ndarray],
    attack: Sequence[str],
    norms: Mapping[str, str],
    costs: np.ndarray,
    most: float,
) -> np.ndarray:
    """Return a list of settings of limited cost whose mean minimal distances are nearest those of all.

    By exchange, from the two cheapest settings of each attack upwards: a setting is added, dropped or put in
    another one's place, whichever lowers the excess most for each further pass (at least one), until nothing
    lowers it. Two settings of each attack stay, or the one that it has. The excess is the share by which
    the mean minimal distance is above that of all settings, averaged over norms and models, plus `OWN` times
    that of each attack by itself, under the norm that it minimises. A better list that differs by more than
    one exchange may exist, and one with more passes may be farther under a single norm. A sample may lose its
    only adversarial, unlike in `trim`, but counts as its farthest image then.

    Parameters
    ----------
    distance
        Norm to float64 (T, N): each setting's distance, above 0 and finite; where a setting found nothing,
        that of the farthest image.
    group
        Norm to int (N,), the sample's model.
    attack
        T names; `norms` has the norm of each.
    costs
        float (T,), passes of each setting.
    most
        Passes of all settings of the list together.

    Returns
    -------
    ndarray
        bool (T,), the settings chosen.

    Raises
    ------
    InputError
        If two settings of each attack already cost more.
    """
    names = np.asarray(attack)
    same = names[:, None] == names
    kept = np.zeros(len(costs), dtype=bool)
    for name in dict.fromkeys(attack):
        own = np.flatnonzero(names == name)
        kept[own[np.argsort(costs[own], kind="stable")[:2]]] = True
    least = costs[kept].sum()
    if least > most:
        raise InputError(
            f"adversarial.trim_passes: {most:.10g}; expected at least {np.ceil(least):.0f}, what the two "
            "cheapest settings of each attack take."
        )
    terms = list(_terms(distance, group, names, norms))
    # Rows are the setting that goes, columns the one that comes; the last of each is none.
    passes = np.append(costs, 0.0)
    more = passes - passes[:, None]
    now = np.inf
    while True:
        excess = np.sum([_excesses(*term, kept) for term in terms], axis=0).round(12)
        # Summed anew it may round to more than that of the exchange made last: so it only falls.
        now = min(now, excess[-1, -1])
        gain = now - excess
        few = np.append(np.count_nonzero(same & kept, axis=1) <= 2, False)[:, None] & ~np.pad(same, (0, 1))
        allowed = np.append(kept, True)[:, None] & np.append(~kept, True) & ~few
        allowed &= costs[kept].sum() + more <= most
        allowed &= gain > 0
        if not allowed.any():
            return kept
        worth = np.where(allowed, gain / np.maximum(more, 1), -np.inf)
        goes, comes = divmod(int(np.argmax(worth)), len(more))
        kept[goes : goes + 1], kept[comes : comes + 1] = False, True  # none: an empty slice
        now = excess[goes, comes]


def _terms(
    distance: Mapping[str, np.ndarray], group: Mapping[str, np.ndarray], attack: np.ndarray, norms: Mapping
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield what `choose` adds up: distances (T, N), weights (N,), and bool (T,), the settings it is about.

    The weights of a term make its sum over samples 1 with all settings, times what it counts.
    """
    names = list(dict.fromkeys(attack))
    for norm, values in distance.items():
        yield values, _weights(values, group[norm]) / len(distance), np.ones(len(attack), dtype=bool)
    for name in names:
        own, norm = attack == name, norms[name]
        yield distance[norm], OWN * _weights(distance[norm][own], group[norm]) / len(names), own


def _weights(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return (N,) such that weighted smallest distances sum to 1, models counting alike."""
    full = np.bincount(group, values.min(axis=0))
    return 1 / (full[group] * np.count_nonzero(full))


def _excesses(values: np.ndarray, weights: np.ndarray, own: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return (T + 1, T + 1), a term's sum once one setting has gone (none: the last row) and one has come.

    Of settings that are not kept and go, or are not of the term and come, it is the sum as it is.
    """
    there = np.flatnonzero(kept & own)
    smallest, second, holder = _two_smallest(values, there)

    def sums(left: np.ndarray) -> np.ndarray:
        row = np.full(len(values) + 1, left @ weights)
        row[:-1][own] = np.minimum(left, values[own]) @ weights
        return row

    table = np.tile(sums(smallest), (len(values) + 1, 1))
    for goes in there:
        table[goes] = sums(np.where(holder == goes, second, smallest))
    return table
