"""How often the 95 % intervals hold the truth, and how often they see a difference, where both are known.

    python benchmarks/intervals.py [--studies 4000]

Prints the tables of docs/intervals.md. The made-up studies are the tests' (tests/helpers/known_truth.py).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from known_truth import SLOPE, coverage, coverage_of_pixels, coverage_where_some_are_misclassified, power

EFFECTS = {"none": 0.0, "small": 1.0, "between": 2.5, "large": 5.0}
GAINS = (0.25, 0.5, 1.0)
IMAGES = 100
SHARES = (0.25, 0.3, 0.43)  # None, Shuffle and Neural of docs/study.md


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=4000)
    studies = parser.parse_args().studies

    def of(method, *arguments: float, **shape: float) -> dict[str, float]:
        rng = np.random.default_rng(0)
        found = method(rng, studies, *arguments, **({"conditions": 3, "images": IMAGES} | shape))
        if "conditions" in shape:
            return found
        return found | method(rng, studies, *arguments, [SLOPE], **({"images": IMAGES} | shape), conditions=6)

    print("Coverage, three conditions; slope over six\n")
    show({f"{s} seeds, {name}": of(coverage, e, seeds=s) for s in (2, 3, 5) for name, e in EFFECTS.items()})
    print("\nCoverage, other shapes\n")
    shapes = {
        "2 conditions, 3 seeds, none": (0.0, {"conditions": 2, "seeds": 3}),
        "2 conditions, 3 seeds, small": (1.0, {"conditions": 2, "seeds": 3}),
        "2 conditions, 3 seeds, between": (2.5, {"conditions": 2, "seeds": 3}),
        "2 conditions, 3 seeds, large": (5.0, {"conditions": 2, "seeds": 3}),
        "2 conditions, 2 seeds, small": (1.0, {"conditions": 2, "seeds": 2}),
        "2 conditions, 2 seeds, between": (2.5, {"conditions": 2, "seeds": 2}),
        "2 conditions, 2 seeds, large": (5.0, {"conditions": 2, "seeds": 2}),
        "seeds alike in all conditions, 3 seeds": (5.0, {"seeds": 3, "shared": 0.9}),
        "the last varies 2 times as much, 3 seeds": (5.0, {"seeds": 3, "growth": 2.0}),
        "the last varies 4 times as much, 3 seeds": (2.5, {"seeds": 3, "growth": 4.0}),
        "30 images, 3 seeds, small": (1.0, {"seeds": 3, "images": 30}),
        "1,000 images, 3 seeds, small": (1.0, {"seeds": 3, "images": 1000}),
    }
    show({name: of(coverage, effect, **shape) for name, (effect, shape) in shapes.items()})
    print("\nCoverage, three conditions of which shares are misclassified\n")
    show(
        {
            f"{s} seeds, {name}": coverage_where_some_are_misclassified(
                np.random.default_rng(0), studies, e, SHARES, seeds=s, images=IMAGES
            )
            for s in (2, 3, 5)
            for name, e in EFFECTS.items()
        }
    )
    print("\nCoverage of medians: half or more misclassified, and distances that are whole numbers\n")
    show(
        {
            f"{images} images, {s} seeds, {name}": only_medians(
                coverage_where_some_are_misclassified(
                    np.random.default_rng(0), studies, e, [0.5, 0.6], seeds=s, images=images
                )
            )
            | coverage_of_pixels(
                np.random.default_rng(0), studies, e, [0.25, 0.43, 0.5, 0.6], seeds=s, images=images
            )
            for images in (28, IMAGES)
            for s in (3, 5)
            for name, e in EFFECTS.items()
        }
    )
    print("\nPower, three conditions, small seed effects\n")
    show({f"{s} seeds, gain {g}": of(power, 1.0, g, seeds=s) for g in GAINS for s in (2, 3, 5)})
    print("\nPower, three conditions, large seed effects\n")
    show({f"{s} seeds, gain {g}": of(power, 5.0, g, seeds=s) for g in GAINS for s in (2, 3, 5)})


def only_medians(row: dict[str, float]) -> dict[str, float]:
    """Return what a row says of medians."""
    return {name: held for name, held in row.items() if name.startswith("median")}


def show(rows: dict[str, dict[str, float]]) -> None:
    """Print rows of shares, in per cent, as a Markdown table."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    print(f"| | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    for title, row in rows.items():
        print(
            f"| {title} | {' | '.join(f'{100 * row[name]:.1f}' if name in row else '-' for name in names)} |"
        )


if __name__ == "__main__":
    main()
