"""How reliable simulated scans of different sizes are: their neurons and their populations.

    python benchmarks/simulator.py --folder PHOTOGRAPHS --pool 5000 --neurons 150 500 2000 8000

Prints a table in Markdown, each number a mean over `--scans` scans (in brackets smallest and largest).
Without a folder the stimuli are crops of the photographs that come with the packages. `private noise` stands
for scans without shared noise, whose private noise alone is set by the single-trial similarity. All is
measured on the oracle images' trials, the similarity on other choices of single trials than set the noise.
"""

import argparse
from pathlib import Path

import numpy as np

from neuroreg.images.stimuli import Stimuli, make_stimuli
from neuroreg.scans.reliability import average_repeats, signal_to_noise_weight
from neuroreg.simulator.calibration import mean_oracle, single_trial_similarity
from neuroreg.simulator.simulate import simulate_scan

KINDS = {
    "both targets": {},
    "private noise": {"mean_oracle": None, "shared_noise": 0.0},
}
QUANTILES = (0.1, 0.5, 0.9)
HEADER = (
    "noise",
    "neurons",
    "single-trial similarity",
    "mean oracle",
    "noise correlation: mean",
    "deviation",
)
HEADER += tuple(f"w: {100 * q:.0f} %" for q in QUANTILES) + tuple(
    f"true w: {100 * q:.0f} %" for q in QUANTILES
)


def noise_correlations(responses: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation over pairs of neurons of the correlation of what images leave."""
    means, inverse, _ = average_repeats(responses, image)
    rest = responses - means[inverse]
    rest /= np.linalg.norm(rest, axis=0)
    neurons = rest.shape[1]
    pairs = neurons * (neurons - 1)
    # Sums over the matrix of correlations, which has one on its diagonal, without the matrix.
    mean = (np.square(rest.sum(axis=1)).sum() - neurons) / pairs
    square = (np.square(rest @ rest.T).sum() - neurons) / pairs
    return float(mean), float(np.sqrt(square - mean**2))


def measure(stimuli: Stimuli, neurons: int, seed: int, name: str, settings: dict) -> list[float]:
    """Return the numbers of one scan, as `HEADER` has them from the similarity on."""
    simulated = simulate_scan(stimuli, n_neurons=neurons, oracle_repeats=10, seed=seed, name=name, **settings)
    test = simulated.scan.tier == "test"
    responses, image = simulated.scan.responses[test], simulated.scan.image[test]
    w = np.concatenate(
        [signal_to_noise_weight(responses[:, n : n + 256], image) for n in range(0, neurons, 256)]
    )
    return [
        single_trial_similarity(responses, image, seed + 1),
        mean_oracle(responses, image),
        *noise_correlations(responses, image),
        *np.quantile(w, QUANTILES),
        *np.quantile(simulated.truth.w, QUANTILES),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--pool", type=int, default=500)
    parser.add_argument("--neurons", type=int, nargs="+", default=[150, 500, 2000, 8000])
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1911)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    arguments = parser.parse_args()
    source = "photographs" if arguments.folder is None else "image_folder"
    stimuli = make_stimuli(source, arguments.pool, 100, arguments.folder, arguments.seed)
    print("| " + " | ".join(HEADER) + " |\n" + "| --- " * len(HEADER) + "|")
    for kind in arguments.kinds:
        for neurons in arguments.neurons:
            scans = np.array(
                [
                    measure(stimuli, neurons, arguments.seed, f"scan{i + 1}", KINDS[kind])
                    for i in range(arguments.scans)
                ]
            )
            numbers = [
                f"{mean:.3f} ({low:.3f}, {high:.3f})" if i < 2 else f"{mean:.2f}"
                for i, (mean, low, high) in enumerate(
                    zip(scans.mean(0), scans.min(0), scans.max(0), strict=True)
                )
            ]
            print(" | ".join([f"| {kind}", f"{neurons:,}", *numbers]) + " |", flush=True)


if __name__ == "__main__":
    main()
