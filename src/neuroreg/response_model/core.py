"""The shared part of the predictive model: three convolutions whose outputs are all kept."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F


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
        laplacian = self.kernels[0].new_tensor([[0.25, 0.5, 0.25], [0.5, -3.0, 0.5], [0.25, 0.5, 0.25]])
        return F.conv2d(self.kernels[0], laplacian[None, None], padding=1).square().sum((1, 2, 3)).mean()

    def energy(self) -> Tensor:
        """Return the L2 penalty: mean over the other layers' kernels of the summed squared weights."""
        return torch.stack([k.square().sum((1, 2, 3)).mean() for k in self.kernels[1:]]).mean()
