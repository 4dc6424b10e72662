"""ResNet18 and ResNet34 for small gray images, with the five layers whose similarity is regularised."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ARCHITECTURES = {"resnet18": "ResNet", "resnet34": "ResNet"}
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
LAYER_NAMES = {"resnet18": (1, 5, 9, 13, 17), "resnet34": (1, 7, 15, 27, 33)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (B, out_channels, H / stride, W / stride)."""
        # In place where no gradient needs what was there before: a third less memory is moved.
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        # Every stride-th pixel, then a plain 1x1 convolution: as fast, and equal. In a strided one's gradient
        # on 36x64 images with 4 or 8 channels, oneDNN 3.11 (torch 2.12) crashes on Zen 4 processors.
        chosen = x if self.stride == 1 else F.avg_pool2d(x, 1, self.stride)
        return F.relu(self.bn2(self.conv2(out)).add_(self.shortcut(chosen)), inplace=True)


class ResNet(nn.Module):
    """A ResNet with a 7x7 first convolution of stride 1 and no max pool.

    As in the public descendant of the authors' code, whose input scaling it has too.

    Parameters
    ----------
    architecture
        ``"resnet18"`` or ``"resnet34"``.
    width
        Channels of the first section; 64 in the paper.
    classes
        Number of outputs.
    """

    def __init__(self, architecture: str = "resnet18", width: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.architecture, self.width, self.classes = architecture, width, classes
        self.class_names: tuple[str, ...] = ()
        self.conv1 = nn.Conv2d(1, width, 7, 1, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        sections, channels = [], width
        for index, blocks in enumerate(BLOCKS[architecture]):
            out = width * 2**index
            strides = [1 if index == 0 else 2] + [1] * (blocks - 1)
            section = []
            for stride in strides:
                section.append(BasicBlock(channels, out, stride))
                channels = out
            sections.append(nn.Sequential(*section))
        self.sections = nn.ModuleList(sections)
        self.linear = nn.Linear(channels, classes)

    @property
    def layer_names(self) -> tuple[int, ...]:
        """Numbers of the five regularised layers: convolutions counted from the input."""
        return LAYER_NAMES[self.architecture]

    @property
    def layer_channels(self) -> tuple[int, ...]:
        """Channels of each regularised layer."""
        return (self.width, *(self.width * 2**index for index in range(len(self.sections))))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the first convolution (with BN and ReLU) and of each section.

        Parameters
        ----------
        x
            Gray images in [0, 1], float (B, 1, H, W), of any height and width.

        Returns
        -------
        list of Tensor
            Five tensors (B, C_k, H_k, W_k).
        """
        x = F.relu(self.bn1(self.conv1(5.0 * (x - 0.5))), inplace=True)
        outputs = [x]
        for section in self.sections:
            x = section(x)
            outputs.append(x)
        return outputs

    def classify(self, last: Tensor) -> Tensor:
        """Return logits (B, classes) from the last layer's features of 32x32 images."""
        return self.linear(torch.flatten(F.avg_pool2d(last, 4), 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) of gray images in [0, 1], float (B, 1, 32, 32)."""
        return self.classify(self.features(x)[-1])
