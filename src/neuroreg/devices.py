"""Where torch computes."""

import torch

from neuroreg.errors import InputError


def choose_device(name: str) -> torch.device:
    """Return the device named by the config, ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        If ``"cuda"`` is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("config key 'device': found 'cuda', but torch sees no CUDA device; expected 'cpu'.")
    return torch.device(name)
