"""Weighted samples of a map at one point per neuron, as products of small dense matrices.

Bilinear sampling reads the four map points around a position, so a weighted sample is the sum over those of
``share * (weight . map point)``. Neurons that read the same map point are put into tiles: each tile is one
product of (map point's features for the whole batch) with (its neurons' weights). A gather of every neuron's
features for every image, which `torch.nn.functional.grid_sample` makes, moves TILE times as much memory.
"""

import torch
from torch import Tensor

TILE = 32  # neurons in a tile: a few hundred thousand multiplications, little padding


def sample_and_weigh(features: Tensor, position: Tensor, weight: Tensor) -> Tensor:
    """Return ``sum_c weight[n, c] * features[b, c, position n]``, float (B, N), differentiable in all three.

    Parameters
    ----------
    features
        float (B, C, H, W), H and W at least 2.
    position
        float (N, 2), (x, y) with -1 and 1 at the map's outer edges; beyond the centres of the outermost
        points the map goes on with their values.
    weight
        float (N, C).
    """
    batch, channels, height, width = features.shape
    neurons = len(position)
    point, share = _corners(position, height, width)
    tile_point, slot = _tiles(point.flatten(), height * width)
    # Slots that no neuron fills have the weight of an extra one, zero.
    owner = torch.full((len(tile_point) * TILE,), neurons, device=slot.device)
    owner[slot] = torch.arange(neurons, device=slot.device).repeat_interleave(4)
    padded = torch.cat([weight, weight.new_zeros(1, channels)])
    tiles = padded.index_select(0, owner).view(-1, TILE, channels)
    points = features.permute(2, 3, 1, 0).reshape(height * width, channels, batch)
    products = torch.bmm(tiles, points.index_select(0, tile_point)).view(-1, batch)
    return (products.index_select(0, slot).view(neurons, 4, batch) * share[:, :, None]).sum(1).T


def _corners(position: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four map points around each position, int (N, 4), and their shares, float (N, 4)."""
    x = (((position[:, 0] + 1) * width - 1) / 2).clamp(0, width - 1)
    y = (((position[:, 1] + 1) * height - 1) / 2).clamp(0, height - 1)
    left, top = x.detach().floor().clamp(max=width - 2), y.detach().floor().clamp(max=height - 2)
    x, y = x - left, y - top
    first = (top * width + left).long()
    point = torch.stack([first, first + 1, first + width, first + width + 1], 1)
    return point, torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], 1)


def _tiles(point: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Return the map point of each tile, int (tiles,), and the slot of each entry of `point`, int (len,)."""
    order = torch.argsort(point, stable=True)
    count = torch.bincount(point, minlength=points)
    tiles = (count + TILE - 1) // TILE
    entry, tile = count.cumsum(0) - count, tiles.cumsum(0) - tiles  # first of each map point
    sorted_point = point[order]
    rank = torch.arange(len(point), device=point.device) - entry[sorted_point]
    slot = torch.empty_like(order)
    slot[order] = tile[sorted_point] * TILE + rank
    return torch.repeat_interleave(torch.arange(points, device=point.device), tiles), slot
