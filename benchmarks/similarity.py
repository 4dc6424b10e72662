"""Similarity of a pool: seconds, rate, share of the bare product's speed, error, and memory.

    python benchmarks/similarity.py --images 5000 --neurons 8000

The bare product is `x @ x.T` in float32, of which NumPy computes one triangle as well; rates count both.
OMP_NUM_THREADS sets the threads of both. The error is that of 100 images against float64.
"""

import argparse
import resource
import time

import numpy as np

from neuroreg.similarity.matrix import centred_cosine


def seconds(function, repeats: int) -> float:
    """Return the fastest of a few runs."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def error(responses: np.ndarray, weights: np.ndarray, images: int) -> float:
    """Return the largest deviation of the first images' similarities from float64."""
    mean = np.mean(responses, 0, dtype=np.float64)
    first = (responses[:images] - mean) * weights
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return float(np.abs(centred_cosine(responses, weights)[:images, :images] - first @ first.T).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--neurons", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    responses = rng.standard_gamma(1.0, (arguments.images, arguments.neurons), np.float32)
    weights = rng.random(arguments.neurons)
    before = peak_mb()
    ours = seconds(lambda: centred_cosine(responses, weights), arguments.repeats)
    print(f"memory beside the responses: {peak_mb() - before:.0f} MB")
    bare = seconds(lambda: responses @ responses.T, arguments.repeats)
    work = 2 * arguments.images**2 * arguments.neurons / 1e9
    for name, taken in (("similarity", ours), ("bare product", bare)):
        print(f"{name}: {taken:.2f} s, {work / taken:.0f} GFLOP/s")
    print(f"ratio of their times: {ours / bare:.2f}")
    print(f"largest error: {error(responses, weights, min(100, arguments.images)):.1e}")


if __name__ == "__main__":
    main()
