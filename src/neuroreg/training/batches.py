"""What the steps of one epoch take: which images, how they are cropped and mirrored, which pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from neuroreg.devices import send


@dataclass(frozen=True)
class Draws:
    """All that is random in an epoch, drawn on the CPU before its first step.

    A GPU gets it in one go and need not be waited for at each step.

    Attributes
    ----------
    rows
        int64 (steps, batch), images of each batch.
    offsets
        int64 (steps, 2, batch, 1), first row and column of each crop; None without a crop.
    mirrored
        bool (steps, batch, 1), whether an image is mirrored; None if none is.
    pairs
        int64 (steps, 2 * pairs), stimuli of each step, all different within it: first all first ones of the
        pairs, then all second ones; None without a target.
    """

    rows: Tensor
    offsets: Tensor | None
    mirrored: Tensor | None
    pairs: Tensor | None

    def to(self, device: torch.device) -> "Draws":
        """Return the same on `device`."""
        return Draws(*(None if part is None else send(part, device) for part in vars(self).values()))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]]:
        """Yield what each step takes: rows, offsets, mirrored, pairs."""
        for step in range(len(self.rows)):
            yield tuple(None if part is None else part[step] for part in vars(self).values())  # type: ignore[misc]


def draw_epoch(
    images: int,
    batch: int,
    generator: Generator,
    *,
    padding: int,
    flip: bool,
    stimuli: int = 0,
    pairs: int = 0,
    pair_generator: Generator | None = None,
) -> Draws:
    """Draw an epoch's full batches in random order, their crops and flips, and pairs of stimuli.

    Parameters
    ----------
    images, batch
        Number of images, and of those in a batch.
    generator
        CPU generator of order, crops and flips.
    padding
        Pixels of reflection at each side before a random crop; 0 for none.
    flip
        Whether half of the images are mirrored.
    stimuli, pairs
        Number of stimuli, at least 2 * `pairs`, and of pairs in a step; 0 for none.
    pair_generator
        CPU generator of the pairs.
    """
    rows = torch.randperm(images, generator=generator)[: images // batch * batch].view(-1, batch)
    offsets, mirrored, chosen = [], [], []
    # Step by step, so that the streams are those of an epoch that draws as it goes.
    for _ in range(len(rows)):
        if padding:
            offsets.append(torch.randint(0, 2 * padding + 1, (2, batch, 1), generator=generator))
        if flip:
            mirrored.append(torch.rand(batch, 1, generator=generator) < 0.5)
        if pairs:
            chosen.append(torch.randperm(stimuli, generator=pair_generator)[: 2 * pairs])
    return Draws(rows, *(torch.stack(parts) if parts else None for parts in (offsets, mirrored, chosen)))


def augment(images: Tensor, offsets: Tensor | None, mirrored: Tensor | None, *, padding: int = 4) -> Tensor:
    """Return each image cropped at its place after reflect padding, and mirrored left to right or not.

    Parameters
    ----------
    images
        float (B, 1, H, W).
    offsets
        int64 (2, B, 1), first row and column of each crop in the padded image, 0 to 2 * `padding`; None
        leaves the images in place.
    mirrored
        bool (B, 1); None mirrors none.
    padding
        Pixels of reflection at each side; 4 in the public descendant of the authors' code.

    Returns
    -------
    Tensor
        float (B, 1, H, W).
    """
    batch, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(batch, -1)
    columns = torch.arange(width, device=device).expand(batch, -1)
    if offsets is not None:
        images = F.pad(images, (padding,) * 4, mode="reflect")
        rows, columns = rows + offsets[0], columns + offsets[1]
    if mirrored is not None:
        columns = torch.where(mirrored, columns.flip(1), columns)
    index = torch.arange(batch, device=device)[:, None, None]
    return images[:, 0][index, rows[:, :, None], columns[:, None, :]][:, None]
