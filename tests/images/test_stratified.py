from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.images.classification import stratified_sample


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 9))
def test_every_class_keeps_its_share_by_largest_remainder(labels, fraction, seed):
    size = round(fraction * len(labels))
    chosen = stratified_sample(np.array(labels), size, np.random.default_rng(seed))
    assert chosen.dtype == np.int64
    assert len(chosen) == size
    assert (np.diff(chosen) > 0).all()
    exact = {label: Fraction(size * labels.count(label), len(labels)) for label in set(labels)}
    share = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (share[label] - exact[label], label))
    for label in by_remainder[: size - sum(share.values())]:
        share[label] += 1
    assert {label: [labels[i] for i in chosen].count(label) for label in share} == share


def test_every_member_is_equally_likely():
    labels = np.repeat(np.arange(4), 25)
    rng, times = np.random.default_rng(0), np.zeros(100)
    for _ in range(400):
        times[stratified_sample(labels, 20, rng)] += 1
    # Binomial(400, 0.2): mean 80, standard deviation 8.
    assert np.abs(times - 80).max() < 5 * 8


def test_the_generator_decides():
    labels = np.arange(1000) % 10
    first, again, other = (stratified_sample(labels, 50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
