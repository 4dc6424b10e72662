"""Each attack's mean distance when a model's logits are multiplied by a factor, its minima being the same.

    python benchmarks/logit_scale.py MODEL.safetensors CLASSIFICATION.h5 [--attacks ddn ...] [--cross-entropy]

One thread of a CPU, one repetition, short settings (or `--setting`); the first test images that the model
gets right; verified distances in the attack's own norm, as `told_mean` has them. With `--cross-entropy`, PGD,
AdamPGD and DDN step along the float32 cross-entropy's own gradient, which saturates.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from means import told_mean
from torch import nn

from neuroreg.files.records import read_record
from neuroreg.images.classification import ClassificationData
from neuroreg.robustness.attacks import rows
from neuroreg.robustness.attacks.registry import attack_methods, find_method
from neuroreg.robustness.evaluation import predict, to_input
from neuroreg.robustness.largest import largest_distances
from neuroreg.robustness.logit_margin import Scaled
from neuroreg.robustness.minimal_distance import search
from neuroreg.training.checkpoints import load_model

FACTORS = (1 / 8, 1.0, 4.0, 8.0, 64.0)
CPU = torch.device("cpu")
PGD = {"steps": 10, "search_steps": 10, "rel_stepsize": 0.1, "epsilon": 0.005}
SETTINGS = {
    "pgd": PGD,
    "adam_pgd": PGD,
    "carlini_wagner": {"steps": 50, "binary_search_steps": 6, "stepsize": 0.01, "initial_const": 0.1},
    "ddn": {"steps": 100},
    "jsma": {"theta": 1.0},
    "sparsefool": {},
    "brendel_bethge": {"steps": 60},
    "sigma_zero": {"steps": 100},
    "pdpgd": {"steps": 200},
    "apgd_t": {"steps": 10, "search_steps": 12},
    "fab": {"steps": 10},
    "warm_brendel_bethge_l2": {"steps": 60},
    "warm_brendel_bethge_linf": {"steps": 60},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    ours = [name for name in attack_methods() if not name.startswith("foolbox_")]
    parser.add_argument("--attacks", nargs="+", default=ours, choices=ours)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--factors", nargs="+", type=float, default=FACTORS)
    parser.add_argument("--setting", type=json.loads, help="JSON; instead of the short one")
    parser.add_argument("--margin", type=float, help="the search's logit_margin, which makes all factors one")
    parser.add_argument("--cross-entropy", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.cross_entropy:
        rows.cross_entropy_lead = lambda logits, labels: nn.functional.cross_entropy(
            logits, labels, reduction="none"
        )

    data = read_record(arguments.data, ClassificationData)
    order = np.random.default_rng(0).permutation(len(data.test_labels))[:500]
    images, labels = data.test_images[order], data.test_labels[order]
    model = load_model(arguments.model).eval()
    right = predict(model, to_input(images), batch_size=250, device=CPU).argmax(dim=1).numpy() == labels
    chosen = np.flatnonzero(right)[: arguments.images]
    largest = largest_distances(images[chosen])
    print("attack               " + "".join(f"  {f'x {factor:g}':>14}" for factor in arguments.factors))
    for name in arguments.attacks:
        norm = find_method(name).norm
        setting = arguments.setting or next(SETTINGS[key] for key in SETTINGS if name.startswith(key))
        print(f"{name:21}", end="", flush=True)
        for factor in arguments.factors:
            result = search(
                Scaled(model, factor),
                images,
                labels,
                chosen,
                method=name,
                settings=[setting],
                repetitions=1,
                seed=1,
                batch_size=len(chosen),
                logit_margin=arguments.margin,
                device=CPU,
            )
            told = told_mean(result.distance[norm].ravel(), largest[norm])
            print(f"  {told:>14}", end="", flush=True)
        print()


if __name__ == "__main__":
    main()
