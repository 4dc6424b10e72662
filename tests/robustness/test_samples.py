import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroreg.errors import InputError
from neuroreg.robustness.minimal_distance import choose_samples


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_shares_are_proportional(labels, fraction, seed):
    labels = np.array(labels)
    n = max(1, round(fraction * len(labels)))
    chosen = choose_samples(labels, n, seed)
    assert chosen.dtype == np.int64
    assert len(chosen) == n
    assert (np.diff(chosen) > 0).all()
    for label in np.unique(labels):
        exact = n * np.mean(labels == label)
        assert abs(np.sum(labels[chosen] == label) - exact) < 1


def test_every_image_is_equally_likely():
    labels = np.repeat(np.arange(4), 25)
    times = np.zeros(100)
    for seed in range(400):
        times[choose_samples(labels, 20, seed)] += 1
    # Binomial(400, 0.2): mean 80, standard deviation 8.
    assert np.abs(times - 80).max() < 5 * 8


def test_the_seed_alone_decides():
    labels = np.arange(1000) % 10
    assert np.array_equal(choose_samples(labels, 50, 1), choose_samples(labels, 50, 1))
    assert not np.array_equal(choose_samples(labels, 50, 1), choose_samples(labels, 50, 2))


@pytest.mark.parametrize("n", [0, 11])
def test_more_than_there_are_is_refused(n):
    with pytest.raises(InputError, match=f"{n} samples asked for; expected 1 to 10"):
        choose_samples(np.zeros(10, int), n, 0)
