"""Where torch computes."""

import torch

from neuroreg.errors import InputError


def choose_device(name: str) -> torch.device:
    """Return the device named by the config.

    Parameters
    ----------
    name
        ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where there is one, the CPU elsewhere.

    Raises
    ------
    InputError
        If ``"cuda"`` is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError(
            "device: 'cuda', but torch finds no CUDA device; expected 'cpu' or 'auto'."
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")
