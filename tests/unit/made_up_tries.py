"""Tries made up for tests: settings of two attacks, repetitions, samples."""

import json

import numpy as np

from neuroreg.robustness.attack_result import NORMS
from neuroreg.robustness.tries import Tries


def tries_of(distance, correct=None, queries=None, failing=0.0, seed=0):
    """Tries with the given distances under every norm, or random ones of the given shape (T, K, S).

    Parameters
    ----------
    distance
        Array (T, K, S), or a shape.
    correct
        bool (S,); all by default. Others have distance 0 and no queries.
    queries
        Forward passes of each setting (T,); 1, 2, ... by default.
    failing
        Share of random distances that are inf.
    """
    rng = np.random.default_rng(seed)
    shape = distance if isinstance(distance, tuple) else np.shape(distance)
    correct = np.ones(shape[2], dtype=bool) if correct is None else np.asarray(correct)
    queries = np.arange(1, shape[0] + 1) if queries is None else np.asarray(queries)
    values = {}
    for norm in NORMS:
        values[norm] = rng.random(shape) + 0.1 if isinstance(distance, tuple) else np.array(distance, float)
        values[norm][rng.random(shape) < failing] = np.inf
        values[norm][..., ~correct] = 0
        values[norm] = values[norm].astype(np.float32)
    passes = np.broadcast_to(queries[:, None, None], shape) * correct
    half = (shape[0] + 1) // 2
    return Tries(
        attack=("one",) * half + ("two",) * (shape[0] - half),
        setting=tuple(json.dumps({"steps": index}) for index in range(shape[0])),
        correct=correct,
        distance=values,
        queries=passes.astype(np.int64),
    )
