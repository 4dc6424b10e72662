import pytest

from neuroreg.training.run import learning_rate


def test_the_papers_forty_epochs():
    rates = [learning_rate(epoch, 40, initial=0.1) for epoch in range(40)]
    phase = [0.1 * 0.3**k for k in range(5) for _ in range(4)]
    assert rates == pytest.approx(phase * 2)


@pytest.mark.parametrize("epochs", [10, 20, 30])
def test_other_lengths_keep_the_proportions(epochs):
    rates = [learning_rate(epoch, epochs, initial=0.1) for epoch in range(epochs)]
    assert rates[: epochs // 2] == rates[epochs // 2 :]
    assert len(set(rates)) == 5


def test_a_training_shorter_than_the_phases_starts_at_the_initial_rate():
    assert learning_rate(0, 1, initial=0.1) == 0.1
    assert learning_rate(1, 2, initial=0.1) == pytest.approx(0.1)
