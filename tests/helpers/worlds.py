"""Synthetic results in which it is known whether the paper's claims hold."""

import numpy as np
import pandas as pd

from neuroreg.claims.distance import distance_claims
from neuroreg.claims.gamma import gamma_claims
from neuroreg.claims.noise import condition_claims, sweep_claims
from neuroreg.claims.table import claims_table
from neuroreg.robustness.noise_counts import NoiseCounts

ALPHAS = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0)
CONDITIONS = {"None": "plain", "Shuffle": "mixed", "Neural": "brain"}
LEVELS = (0.0, 0.05, 0.1, 0.4)
SEEDS = (1, 2, 3, 4, 5)
IMAGES = 2000
DRAWS = 4

# As the paper tells it. Accuracies at LEVELS; layers chosen by each seed, in positions; distances per norm.
SWEEP = {
    0.0: (0.93, 0.50, 0.20, 0.1),
    2.0: (0.93, 0.51, 0.21, 0.1),
    4.0: (0.92, 0.55, 0.27, 0.1),
    8.0: (0.92, 0.60, 0.34, 0.1),
    16.0: (0.91, 0.65, 0.42, 0.1),
    32.0: (0.90, 0.70, 0.50, 0.1),
}
NOISE = {"None": SWEEP[0.0], "Shuffle": (0.92, 0.6, 0.35, 0.2), "Neural": (0.91, 0.7, 0.5, 0.3)}
LARGEST = {"l0": 1024.0, "l1": 700.0, "l2": 23.0, "linf": 1.0}  # distances possible
LAYERS = {
    2.0: (1, 1, 1, 1, 1),
    4.0: (1, 1, 1, 1, 1),
    8.0: (1, 2, 2, 1, 2),
    16.0: (1, 2, 1, 1, 1),
    32.0: (0, 1, 0, 1, 1),
}
DISTANCES = {
    "l0": {"None": 8.0, "Shuffle": 8.1, "Neural": 8.2},
    "l1": {"None": 0.5, "Shuffle": 0.6, "Neural": 0.8},
    "l2": {"None": 0.09, "Shuffle": 0.11, "Neural": 0.13},
    "linf": {"None": 0.0025, "Shuffle": 0.0030, "Neural": 0.0034},
}


def noise(curves, seeds=SEEDS, levels=LEVELS):
    """Counts and runs of models with these accuracies, harder and easier images, better and worse seeds."""
    rng = np.random.default_rng(1)
    image, seed_effect = (
        rng.normal(0, 0.05, IMAGES),
        dict(zip(seeds, rng.normal(0, 0.002, len(seeds)), strict=True)),
    )
    counts, runs = [], []
    for name, accuracy in curves.items():
        for seed in seeds:
            chance = np.clip(np.array(accuracy)[:, None] + image + seed_effect[seed], 0, 1)
            counts.append(NoiseCounts(np.array(levels), rng.binomial(DRAWS, chance), DRAWS))
            runs.append({"model": CONDITIONS.get(name, f"a{name}"), "seed": seed, "alpha": name})
    return counts, runs


def histories(layers, seeds=SEEDS, collapsed=0.98):
    """One row per run, gamma mostly on the chosen layer."""
    rows = []
    for alpha in (0.0, *layers):
        for index, seed in enumerate(seeds):
            gamma = np.full(5, 0.2)
            if alpha > 0:
                gamma[:] = (1 - collapsed) / 4
                gamma[layers[alpha][index]] = collapsed
            rows.append((f"a{alpha}", seed, alpha, *gamma))
    return pd.DataFrame(rows, columns=["model", "seed", "alpha", *(f"gamma_{k}" for k in (1, 5, 9, 13, 17))])


def distances(medians, seeds=SEEDS, samples=400):
    """Log-normal distances with these medians; samples are robust alike in all models."""
    rng = np.random.default_rng(2)
    sample = rng.normal(0, 0.3, samples)
    sample -= np.median(sample)
    parts = []
    for norm, of_models in medians.items():
        for name, median in of_models.items():
            for seed in seeds:
                distance = median * np.exp(sample + rng.normal(0, 0.005) + rng.normal(0, 0.05, samples))
                run = {"model": CONDITIONS[name], "seed": seed, "sample": np.arange(samples), "label": 0}
                run |= {"correct": True, "norm": norm, "distance": distance, "attack": "pgd"}
                run |= {"largest": LARGEST[norm]}
                parts.append(pd.DataFrame(run))
    return pd.concat(parts, ignore_index=True)


def table(sweep, conditions, of_gamma, of_distances, models=CONDITIONS):
    """The table of claims, by the name of the claim."""
    rows = [
        *sweep_claims(*sweep),
        *condition_claims(*conditions, models),
        *gamma_claims(of_gamma),
        *distance_claims(of_distances, models),
    ]
    return claims_table(rows, "").set_index("claim")


def papers_world(seeds=SEEDS):
    """The arguments of `table` if all is as the paper tells it."""
    layers = {alpha: chosen[: len(seeds)] for alpha, chosen in LAYERS.items()}
    return noise(SWEEP, seeds), noise(NOISE, seeds), histories(layers, seeds), distances(DISTANCES, seeds)
