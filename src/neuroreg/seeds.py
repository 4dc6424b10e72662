"""Random streams that depend on names, never on the order in which they are drawn."""

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**63) that is a fixed function of `seed` and `names`.

    Parameters
    ----------
    seed
        The user's seed.
    *names
        What the stream is for, e.g. ``"noise", sample_index``. Different names give independent streams.

    Examples
    --------
    >>> derive_seed(1, "noise") == derive_seed(1, "noise") != derive_seed(1, "crop")
    True
    """
    digest = hashlib.sha256(repr((int(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
