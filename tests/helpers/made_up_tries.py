"""Results and tries made up for tests: settings of two attacks, repetitions, samples."""

import json

import numpy as np

from neuroreg.robustness.attack_result import NORMS, AttackResult, Tries

SAMPLES = 6
CORRECT = np.arange(SAMPLES) != 2


def attack_result(seed, repetitions=3, settings=2, failing=0.0):
    """A search's result; sample 4 has no adversarial, and of the other tries a share of `failing` none."""
    rng = np.random.default_rng(seed)
    distance = {}
    for norm in NORMS:
        values = rng.random((settings, repetitions, SAMPLES)).astype(np.float32)
        values[rng.random(values.shape) < failing] = np.inf
        values[..., 4] = np.inf
        values[..., ~CORRECT] = 0
        distance[norm] = values
    return AttackResult(
        sample=np.arange(SAMPLES) * 3,
        label=np.arange(SAMPLES),
        clean=np.random.default_rng(99).integers(0, 256, (SAMPLES, 32, 32), dtype=np.uint8),
        clean_correct=CORRECT,
        distance=distance,
        best_adversarial={norm: rng.random((SAMPLES, 32, 32)).astype(np.float32) for norm in NORMS},
        predicted={norm: rng.integers(0, 10, SAMPLES) for norm in NORMS},
        found_by={norm: rng.integers(0, 2, (SAMPLES, 2)) for norm in NORMS},
        passes=rng.integers(0, 99, (settings, repetitions, SAMPLES)),
        verified=np.isfinite(distance["l2"]),
        not_finite=np.isinf(distance["l2"]) & (rng.random((settings, repetitions, SAMPLES)) < 0.5),
        settings=tuple({"steps": k + 1, "gamma": 0.1} for k in range(settings)),
    )


def tries_of(distance, correct=None, passes=None, failing=0.0, seed=0):
    """Tries with the given distances under every norm, or random ones of the given shape (T, K, S).

    Parameters
    ----------
    distance
        Array (T, K, S), or a shape.
    correct
        bool (S,); all by default. Others have distance 0 and no passes.
    passes
        Forward passes of each setting (T,); 1, 2, ... by default.
    failing
        Share of random distances that are inf.

    The largest distance possible is 20.
    """
    rng = np.random.default_rng(seed)
    shape = distance if isinstance(distance, tuple) else np.shape(distance)
    correct = np.ones(shape[2], dtype=bool) if correct is None else np.asarray(correct)
    passes = np.arange(1, shape[0] + 1) if passes is None else np.asarray(passes)
    values = {}
    for norm in NORMS:
        values[norm] = rng.random(shape) + 0.1 if isinstance(distance, tuple) else np.array(distance, float)
        values[norm][rng.random(shape) < failing] = np.inf
        values[norm][..., ~correct] = 0
        values[norm] = values[norm].astype(np.float32)
    passes = np.broadcast_to(passes[:, None, None], shape) * correct
    half = (shape[0] + 1) // 2
    return Tries(
        largest={norm: np.full(shape[2], 20.0) for norm in NORMS},
        attack=("one",) * half + ("two",) * (shape[0] - half),
        setting=tuple(json.dumps({"steps": index}) for index in range(shape[0])),
        correct=correct,
        distance=values,
        passes=passes.astype(np.int64),
    )


MODELS = {"none": "None", "neural": "Neural"}


def two_models(**options):
    """Two models with two seeds each; one sample is misclassified, under seed 2 another one."""
    return {
        (model, seed): tries_of(
            (5, 3, 7), correct=np.arange(7) != seed, seed=10 * seed + place, **({"failing": 0.4} | options)
        )
        for place, model in enumerate(MODELS)
        for seed in (1, 2)
    }
