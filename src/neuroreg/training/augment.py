"""Random crops and flips of a whole batch at once."""

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(images: Tensor, generator: torch.Generator, *, padding: int = 4, flip: bool = True) -> Tensor:
    """Return each image cropped at a random place after reflect padding, and mirrored at random.

    Parameters
    ----------
    images
        float (B, 1, H, W).
    generator
        CPU generator that decides offsets and flips.
    padding
        Pixels of reflection at each side; 0 leaves the images in place. 4 in the paper.
    flip
        Whether half of the images are mirrored left to right.

    Returns
    -------
    Tensor
        float (B, 1, H, W).
    """
    batch, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(batch, -1)
    columns = torch.arange(width, device=device).expand(batch, -1)
    if padding:
        images = F.pad(images, (padding,) * 4, mode="reflect")
        offsets = torch.randint(0, 2 * padding + 1, (2, batch, 1), generator=generator).to(device)
        rows, columns = rows + offsets[0], columns + offsets[1]
    if flip:
        mirrored = (torch.rand(batch, 1, generator=generator) < 0.5).to(device)
        columns = torch.where(mirrored, columns.flip(1), columns)
    index = torch.arange(batch, device=device)[:, None, None]
    return images[:, 0][index, rows[:, :, None], columns[:, None, :]][:, None]
