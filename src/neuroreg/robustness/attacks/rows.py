"""Rows of a batch: each a sample with a setting of its own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def setting_of_rows(settings: Sequence[Mapping], index: Tensor, like: Tensor) -> dict[str, int | Tensor]:
    """Return one setting for all rows, its numbers one per row.

    Parameters
    ----------
    settings
        Complete settings of one method.
    index
        int64 (rows,), which of them each row has; whole numbers are the same for all rows.
    like
        The rows' images, for type and device.

    Returns
    -------
    dict
        Whole numbers as they are; other numbers as tensors (rows,).
    """
    index = index.to(like.device)
    return {
        name: value
        if isinstance(value, int)
        else torch.tensor([each[name] for each in settings], dtype=like.dtype, device=like.device)[index]
        for name, value in settings[int(index[0])].items()
    }


def to_images(values: Tensor) -> Tensor:
    """Return (rows,) as (rows, 1, 1, 1), to go with images."""
    return values.view(-1, 1, 1, 1)
