"""The learning rate: cycles of phases, each phase smaller by a factor, back to the start at each cycle."""


def learning_rate(
    epoch: int, epochs: int, *, initial: float, cycles: int = 2, phases: int = 5, factor: float = 0.3
) -> float:
    """Return the learning rate of an epoch.

    The paper's 40 epochs are 2 cycles of 5 phases of 4 epochs; other lengths are divided in proportion.

    Parameters
    ----------
    epoch
        Counted from 0, below `epochs`.
    epochs
        Length of the training.
    initial
        Learning rate at the start of each cycle.
    cycles, phases
        Number of cycles, and of phases in each.
    factor
        Ratio of the learning rates of successive phases.

    Examples
    --------
    >>> [round(learning_rate(epoch, 40, initial=0.1), 4) for epoch in (0, 3, 4, 19, 20)]
    [0.1, 0.1, 0.03, 0.0008, 0.1]
    """
    phase = epoch * cycles * phases // epochs
    return initial * factor ** (phase % phases)
