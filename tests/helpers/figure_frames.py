"""Frames like those that the figures are drawn from, made up."""

import matplotlib.figure
import numpy as np
import pandas as pd

from neuroreg.robustness.attack_result import NORMS, Closest
from neuroreg.robustness.noise_counts import NoiseCounts
from neuroreg.similarity.oracle import MODEL, SINGLE_TRIAL

INF = float("inf")
NOTE = "Simulated scans: a made-up cortex."
LABELS = {"none": "None", "shuffle": "Shuffle", "neural": "Neural"}


def noise(seeds: dict[str, int], alphas: dict[str, float]) -> tuple[list[NoiseCounts], list[dict]]:
    """Counts and runs, in no order."""
    rng = np.random.default_rng(0)
    runs = [
        {"model": model, "alpha": alphas[model], "seed": seed}
        for model, count in seeds.items()
        for seed in range(1, count + 1)
    ]
    sigma = np.array([0.05, 0.0, 0.1])
    counts = [NoiseCounts(sigma, rng.binomial(5, rng.random((3, 1)), (3, 20)), 5) for _ in runs]
    order = rng.permutation(len(runs))
    return [counts[index] for index in order], [runs[index] for index in order]


def sweep() -> tuple[list[NoiseCounts], list[dict]]:
    return noise({"a8": 3, "none": 2, "a2": 1}, {"none": 0.0, "a2": 2.0, "a8": 8.0})


def conditions() -> tuple[list[NoiseCounts], list[dict]]:
    return noise({"neural": 3, "none": 2, "shuffle": 1}, {"none": 0.0, "neural": 20.0, "shuffle": 20.0})


def distances(failures: bool = True, seeds: int = 3, samples: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    parts = []
    for scale, model in enumerate(LABELS, start=1):
        for seed in range(1, seeds + 1):
            correct = np.arange(samples) != seed
            for norm in NORMS:
                distance = np.where(correct, scale * rng.gamma(2, 1, samples), 0)
                if failures and norm == "l0" and model == "neural":
                    distance[[0, 5]] = INF
                parts.append(
                    pd.DataFrame(
                        {
                            "model": model,
                            "seed": seed,
                            "sample": np.arange(samples),
                            "label": 0,
                            "correct": correct,
                            "norm": norm,
                            "distance": distance,
                            "largest": 50.0,
                            "attack": np.where(correct & np.isfinite(distance), "pgd", ""),
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


STRONGER = ["apgd_t_l2", "sigma_zero"]


def tightened(failures: bool = True, seeds: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    frame = distances(failures, seeds)
    for name in STRONGER:
        frame[f"distance_{name}"] = frame["distance"].replace(INF, 2.0) * rng.uniform(0.8, 1.4, len(frame))
    frame["tightened"] = frame[["distance", *(f"distance_{name}" for name in STRONGER)]].min(axis=1)
    frame["tightened_by"] = "unused"
    return frame


def histories() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for model in ("none", "neural_a2", "neural_a8", "shuffle", "neural_a32"):
        for seed in (1, 2):
            for epoch in range(1, 5):
                loss, accuracy = rng.random(3), rng.random()
                similarity = np.nan if model == "none" else loss[1]
                gamma = rng.dirichlet(np.ones(5))
                rows.append((model, seed, epoch, loss[0], similarity, loss[2], accuracy, *gamma))
    columns = [
        "model",
        "seed",
        "epoch",
        "task_loss",
        "similarity_loss",
        "validation_loss",
        "validation_accuracy",
    ]
    return pd.DataFrame(rows, columns=[*columns, *(f"gamma_{k}" for k in (1, 5, 9, 13, 17))])


def similarities(n: int = 9) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    result = {}
    for name in ("single_trial", "averaged", "model", "others_averaged"):
        vectors = rng.normal(size=(n, 4))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        result[name] = vectors @ vectors.T
    return result


def correlations() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("s1", SINGLE_TRIAL, 0.3),
            ("s1", MODEL, 0.7),
            ("s2", SINGLE_TRIAL, 0.35),
            ("s1/s2", "between scans", 0.5),
        ],
        columns=["scan", "comparison", "r"],
    )


def effective() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("s1", "std", 200, 90.0),
            ("s1", "source", 200, 4.0),
            ("s2", "std", 100, 60.0),
            ("s2", "source", 100, 25.0),
        ],
        columns=["scan", "units", "neurons", "effective"],
    )


def closest(seed: int = 4, samples: int = 7) -> dict[str, Closest]:
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (samples, 32, 32), dtype=np.uint8)
    result = {}
    for wrong, model in enumerate(LABELS):
        correct = np.arange(samples) != wrong
        distance, adversarial, predicted, attack = {}, {}, {}, {}
        for norm, order in zip(NORMS, (0, 1, 2, np.inf), strict=True):
            change = 0.01 * rng.normal(size=clean.shape) * correct[:, None, None]
            adversarial[norm] = (clean / 255 + change).astype(np.float32)
            distance[norm] = np.linalg.norm(change.reshape(samples, -1), order, axis=1)
            predicted[norm] = np.full(samples, 3)
            attack[norm] = np.where(correct, "pgd", "").astype(object)
        if model == "neural" and samples > 6:
            adversarial["l2"][6], distance["l2"][6], predicted["l2"][6] = np.nan, INF, -1
        label, sample = np.full(samples, 1), 10 * np.arange(samples)
        result[model] = Closest(
            sample, label, clean, correct, distance, distance, adversarial, predicted, attack, 0 * label
        )
    return result


CLASSES = np.array(["airplane", "automobile", "bird", "cat"])


def legend(fig: matplotlib.figure.Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]
