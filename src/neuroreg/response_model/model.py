"""The predictive model of one scan (Li et al. 2019, main text).

The parts in turn: core, readout, shifter, modulator; then the whole, with the statistics of its inputs.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

TILE = 32  # neurons in a tile: a few hundred thousand multiplications, little padding


class Core(nn.Module):
    """Three convolutions with skip connections (Li et al. 2019, main text); all features are concatenated.

    The first convolution has stride 2, so that the map is half as high and wide as the image: this costs a
    quarter of the arithmetic and bilinear sampling still gives positions finer than a pixel.

    Parameters
    ----------
    channels
        Channels of each layer; the map has three times as many.
    input_kernel, hidden_kernel
        Sizes of the first and of the two other kernels in pixels of their inputs, odd.
    generator
        Draws the initial weights.
    """

    def __init__(self, channels: int, input_kernel: int, hidden_kernel: int, generator: Generator) -> None:
        super().__init__()
        sizes = ((1, input_kernel, 2), (channels, hidden_kernel, 1), (channels, hidden_kernel, 1))
        self.strides = tuple(stride for _, _, stride in sizes)
        self.kernels = nn.ParameterList(
            # He et al. 2015: unit variance after each layer.
            torch.randn(channels, inputs, size, size, generator=generator) * (2 / (inputs * size**2)) ** 0.5
            for inputs, size, _ in sizes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in sizes)
        laplacian = torch.tensor([[0.25, 0.5, 0.25], [0.5, -3.0, 0.5], [0.25, 0.5, 0.25]])
        self.register_buffer("laplacian", laplacian[None, None], persistent=False)

    @property
    def features(self) -> int:
        """Number of features at each position of the map."""
        return sum(len(kernel) for kernel in self.kernels)

    def forward(self, images: Tensor) -> Tensor:
        """Return the map, float (B, features, H / 2, W / 2), of standardised images (B, 1, H, W)."""
        outputs = [images]
        for kernel, norm, stride in zip(self.kernels, self.norms, self.strides, strict=True):
            out = F.conv2d(outputs[-1], kernel, stride=stride, padding=kernel.shape[-1] // 2)
            outputs.append(F.relu(norm(out)))
        return torch.cat(outputs[1:], 1)

    def roughness(self) -> Tensor:
        """Return the Laplace penalty: mean over the first kernels of the summed squared Laplacian."""
        return F.conv2d(self.kernels[0], self.laplacian, padding=1).square().sum((1, 2, 3)).mean()

    def energy(self) -> Tensor:
        """Return the L2 penalty: mean over the other layers' kernels of the summed squared weights."""
        return torch.stack([k.square().sum((1, 2, 3)).mean() for k in self.kernels[1:]]).mean()


class Tiles(NamedTuple):
    """Neurons' weights, sorted into tiles that each belong to one map point: what reading any map needs.

    Attributes
    ----------
    weight
        float (tiles, TILE, C); slots that no neuron fills are zero.
    point
        int64 (tiles,), map point of each tile.
    slot
        int64 (4 * N,), where each neuron's four points are, tile by tile.
    share
        float (N, 4), what each of the four counts.
    """

    weight: Tensor
    point: Tensor
    slot: Tensor
    share: Tensor


def sample_and_weigh(features: Tensor, position: Tensor, weight: Tensor) -> Tensor:
    """Return ``sum_c weight[n, c] * features[b, c, position n]``, float (B, N), differentiable in all three.

    Parameters
    ----------
    features
        float (B, C, H, W), H and W at least 2.
    position, weight
        See `make_tiles`.
    """
    return read_tiles(features, make_tiles(position, weight, *features.shape[2:]))


def make_tiles(position: Tensor, weight: Tensor, height: int, width: int) -> Tiles:
    """Return the tiles of neurons that read maps of a given size.

    Parameters
    ----------
    position
        float (N, 2), (x, y) with -1 and 1 at the map's outer edges; beyond the centres of the outermost
        points the map goes on with their values.
    weight
        float (N, C).
    height, width
        Of the map, at least 2.
    """
    neurons, channels = weight.shape
    point, share = _corners(position, height, width)
    tile_point, slot = _tiles(point.flatten(), height * width)
    # Slots that no neuron fills have the weight of an extra one, zero.
    owner = torch.full((len(tile_point) * TILE,), neurons, device=slot.device)
    owner[slot] = torch.arange(neurons, device=slot.device).repeat_interleave(4)
    padded = torch.cat([weight, weight.new_zeros(1, channels)])
    return Tiles(padded.index_select(0, owner).view(-1, TILE, channels), tile_point, slot, share)


def read_tiles(features: Tensor, tiles: Tiles) -> Tensor:
    """Return what the neurons of `tiles` read in maps (B, C, H, W), float (B, N)."""
    batch, channels, height, width = features.shape
    points = features.permute(2, 3, 1, 0).reshape(height * width, channels, batch)
    products = torch.bmm(tiles.weight, points.index_select(0, tiles.point)).view(-1, batch)
    read = products.index_select(0, tiles.slot).view(-1, 4, batch)
    return (read * tiles.share[:, :, None]).sum(1).T


def _corners(position: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the four map points around each position, int (N, 4), and their shares, float (N, 4)."""
    x = (((position[:, 0] + 1) * width - 1) / 2).clamp(0, width - 1)
    y = (((position[:, 1] + 1) * height - 1) / 2).clamp(0, height - 1)
    left, top = x.detach().floor().clamp(max=width - 2), y.detach().floor().clamp(max=height - 2)
    x, y = x - left, y - top
    # A position that is not a number must be told by the loss, not by an index out of range.
    first = (top * width + left).nan_to_num().long()
    point = torch.stack([first, first + 1, first + width, first + width + 1], 1)
    return point, torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], 1)


def _tiles(point: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Return the map point of each tile, int (tiles,), and the slot of each entry of `point`, int (len,).

    On a GPU as many tiles as there can be: for the number that is needed the host would have to wait.
    """
    order = torch.argsort(point, stable=True)
    count = torch.zeros(points, dtype=torch.int64, device=point.device)
    count.scatter_add_(0, point, torch.ones_like(point))
    tiles = (count + TILE - 1) // TILE
    end = tiles.cumsum(0)
    most = (len(point) + (TILE - 1) * min(points, len(point))) // TILE
    number = torch.arange(most if point.is_cuda else int(end[-1]), device=point.device)
    entry, tile = count.cumsum(0) - count, end - tiles  # first of each map point
    sorted_point = point[order]
    rank = torch.arange(len(point), device=point.device) - entry[sorted_point]
    slot = torch.empty_like(order)
    slot[order] = tile[sorted_point] * TILE + rank
    return torch.searchsorted(end, number, right=True).clamp(max=points - 1), slot


def elu1(drive: Tensor) -> Tensor:
    """Return ELU + 1: exp(drive) below 0, drive + 1 above; always positive."""
    return F.elu(drive) + 1


class PointReadout(nn.Module):
    """Neuron a reads ``elu1(b_a + sum_c u_a,c map_c(x_a, y_a))``, bilinearly sampled.

    One readout per neuron, as in the main text of Li et al. 2019.

    Positions are (x, y) with -1 and 1 at the map's outer edges (``align_corners=False``); beyond an edge the
    map goes on with its border values. While training, each position is blurred by normal noise with a
    trainable standard deviation (Lurz et al. 2021), without which it only feels its four nearest map points.

    Parameters
    ----------
    neurons, features
        Number of neurons N, and of features C of the map.
    spread
        Initial standard deviation of the noise on positions.
    generator
        Draws the initial weights.
    """

    def __init__(self, neurons: int, features: int, spread: float, generator: Generator) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(neurons, 2))
        self.log_spread = nn.Parameter(torch.full((neurons, 1), spread).log())
        self.weight = nn.Parameter(torch.randn(neurons, features, generator=generator) / features)
        self.bias = nn.Parameter(torch.zeros(neurons))

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return each neuron's rate before the gain.

        Parameters
        ----------
        features
            The core's map, float (B, C, H, W).
        noise
            Standard normal draws (N, 2) that blur the positions; none outside training.

        Returns
        -------
        Tensor
            Float (B, N), positive.
        """
        return self.read(features, self.tiles(*features.shape[2:], noise))  # type: ignore[call-arg]

    def tiles(self, height: int, width: int, noise: Tensor | None = None) -> Tiles:
        """Return what stays the same over maps of one size; `noise` as in `forward`."""
        position = self.position if noise is None else self.position + self.log_spread.exp() * noise
        return make_tiles(position, self.weight, height, width)

    def read(self, features: Tensor, tiles: Tiles) -> Tensor:
        """Return what `forward` does, of `tiles` made before."""
        return elu1(read_tiles(features, tiles) + self.bias)

    def sparsity(self) -> Tensor:
        """Return the L1 penalty: mean over neurons of the summed absolute feature weights."""
        return self.weight.abs().sum(1).mean()


class Shifter(nn.Module):
    """A small network from pupil position to one shift of all readout positions (Li et al. 2019, main text).

    The shift is bounded by a last tanh; it is zero at the start of training.

    Parameters
    ----------
    hidden
        Number of hidden tanh units.
    largest
        Bound of the shift in each direction, in the positions' units (2 = the image's width or height).
    generator
        Draws the initial weights.
    """

    def __init__(self, hidden: int, largest: float, generator: Generator) -> None:
        super().__init__()
        self.largest = largest
        self.input_weight = nn.Parameter(torch.randn(2, hidden, generator=generator) * 0.5**0.5)
        self.input_bias = nn.Parameter(torch.zeros(hidden))
        self.output_weight = nn.Parameter(torch.zeros(hidden, 2))

    def forward(self, pupil_center: Tensor) -> Tensor:
        """Return shifts (x, y), float (B, 2), of standardised pupil positions (B, 2)."""
        hidden = torch.tanh(pupil_center @ self.input_weight + self.input_bias)
        # No output bias: a constant shift is the readout positions' business.
        return self.largest * torch.tanh(hidden @ self.output_weight)


def shift_map(features: Tensor, shift: Tensor) -> Tensor:
    """Return maps whose point at each position is what was at that position plus the trial's shift.

    Readouts at fixed positions then read as if all of them had moved, and neurons can be read together for
    all trials. Values between points are interpolated linearly; beyond an edge the border's values go on.

    Parameters
    ----------
    features
        float (B, C, H, W).
    shift
        float (B, 2), (x, y), 2 = the map's width or height.

    Returns
    -------
    Tensor
        float (B, C, H, W).
    """
    batch, channels, height, width = features.shape
    across = _interpolation(shift[:, 0] * width / 2, width)
    down = _interpolation(shift[:, 1] * height / 2, height)
    moved = torch.bmm(features.reshape(batch, channels * height, width), across.transpose(1, 2))
    moved = moved.view(batch, channels, height, width)
    return torch.matmul(down[:, None], moved)


def _interpolation(offset: Tensor, size: int) -> Tensor:
    """Return the matrices, (B, size, size), that read a line of points `offset` (B,) points further on."""
    point = torch.arange(size, dtype=offset.dtype, device=offset.device)
    place = (point + offset[:, None]).clamp(0, size - 1)
    return (1 - (place[:, :, None] - point).abs()).clamp_min(0)


class Modulator(nn.Module):
    """A small network from behaviour to one multiplicative gain per neuron (Li et al. 2019, main text).

    ``gain = exp(tanh(behavior A + a) G)``: positive, below or above 1, 1 at the start of training, and
    bounded because tanh is, so that an outlying behaviour cannot blow a prediction up.

    Parameters
    ----------
    behaviors, hidden, neurons
        Number of behavioural variables, of hidden tanh units and of neurons.
    generator
        Draws the initial weights.
    """

    def __init__(self, behaviors: int, hidden: int, neurons: int, generator: Generator) -> None:
        super().__init__()
        scale = max(behaviors, 1) ** -0.5
        self.input_weight = nn.Parameter(torch.randn(behaviors, hidden, generator=generator) * scale)
        self.input_bias = nn.Parameter(torch.zeros(hidden))
        self.output_weight = nn.Parameter(torch.zeros(hidden, neurons))

    def forward(self, behavior: Tensor) -> Tensor:
        """Return gains, float (B, neurons), of standardised behaviour (B, behaviors)."""
        return (torch.tanh(behavior @ self.input_weight + self.input_bias) @ self.output_weight).exp()

    def energy(self) -> Tensor:
        """Return the L2 penalty: mean over neurons of the summed squared output weights."""
        return self.output_weight.square().sum(0).mean()


class ResponseModel(nn.Module):
    """Predicts each neuron's response to an image, behaviour and pupil position (Li et al. 2019, main text).

    ``rate = scale * gain(behavior) * readout(core(image), position + shift(pupil))``. All statistics of the
    training trials are buffers, so that the weights' file answers for raw inputs by itself.

    Parameters
    ----------
    neurons, behaviors, contexts
        Number of neurons N, of behavioural variables K, and of stored training states to average over.
    channels, input_kernel, hidden_kernel, spread, shifter_hidden, largest_shift, modulator_hidden
        See `Core`, `PointReadout`, `Shifter` and `Modulator`.
    generator
        Draws the initial weights; a fixed one if none is given.
    """

    def __init__(
        self,
        neurons: int,
        behaviors: int,
        contexts: int,
        *,
        channels: int,
        input_kernel: int,
        hidden_kernel: int,
        spread: float,
        shifter_hidden: int,
        largest_shift: float,
        modulator_hidden: int,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.core = Core(channels, input_kernel, hidden_kernel, generator)
        self.readout = PointReadout(neurons, self.core.features, spread, generator)
        self.shifter = Shifter(shifter_hidden, largest_shift, generator)
        self.modulator = Modulator(behaviors, modulator_hidden, neurons, generator)
        for name, size in (("image", ()), ("behavior", (behaviors,)), ("pupil_center", (2,))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("response_std", torch.ones(neurons))
        self.register_buffer("context_behavior", torch.zeros(contexts, behaviors))
        self.register_buffer("context_pupil_center", torch.zeros(contexts, 2))

    def map(self, images: Tensor) -> Tensor:
        """Return the core's map of raw images (B, H, W), any dtype, 0 to 255."""
        return self.core((images[:, None].float() - self.image_mean) / self.image_std)

    def shift(self, pupil_center: Tensor) -> Tensor:
        """Return the readouts' shift (B, 2) at raw pupil positions (B, 2)."""
        return self.shifter((pupil_center - self.pupil_center_mean) / self.pupil_center_std)

    def gain(self, behavior: Tensor) -> Tensor:
        """Return the gain (B, N) at raw behaviour (B, K)."""
        return self.modulator((behavior - self.behavior_mean) / self.behavior_std)

    def forward(
        self, features: Tensor, behavior: Tensor, pupil_center: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Return expected responses in units of `response_std`.

        Parameters
        ----------
        features
            `map` of each trial's image, float (B, C, H', W').
        behavior, pupil_center
            Raw covariates, float (B, K) and (B, 2).
        noise
            See `PointReadout`.

        Returns
        -------
        Tensor
            Float (B, N), positive.
        """
        moved = shift_map(features, self.shift(pupil_center))
        return self.gain(behavior) * self.readout(moved, noise)
