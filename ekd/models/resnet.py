"""The CIFAR ResNet-(6n+2) (arXiv 1512.03385, Sec. 4.2) that is every branch and every teacher.

Its shortcuts are a 1x1 convolution with BatchNorm at the two downsampling stages: with these, and
no others, the parameters and FLOPs of Tables 1 and 2 (arXiv 1909.08097) come out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ekd.spec import depth_of

WIDTH = 16
"""Channels of the first stage, where nothing else is said."""


def widths(width: int = WIDTH) -> tuple[int, int, int]:
    """Give the channels of the three stages."""
    return width, 2 * width, 4 * width


class SplitBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm as torch's DataParallel does it on `splits` devices, on one device.

    In training each of the batch's `splits` chunks is normalised with its own statistics, and only
    the first chunk, which the first device would see, moves the running statistics.
    """

    def __init__(self, channels: int, splits: int) -> None:
        """Make the layer for [B, channels, H, W]."""
        super().__init__(channels)
        self.splits = splits

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`, [B, C, H, W]; in eval mode with the running statistics."""
        if not self.training:
            return super().forward(x)
        first, *others = x.chunk(self.splits)
        normalised = [super().forward(first)]
        for chunk in others:
            normalised.append(
                F.batch_norm(chunk, None, None, self.weight, self.bias, training=True, eps=self.eps)
            )
        return torch.cat(normalised)  # [B, C, H, W]


def batch_norm(channels: int, splits: int) -> nn.BatchNorm2d:
    """Make a BatchNorm layer over `channels`, the plain one where `splits` is 1."""
    return nn.BatchNorm2d(channels) if splits == 1 else SplitBatchNorm2d(channels, splits)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: [B, C, H, W] to [B, outputs, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int, splits: int) -> None:
        """Make the block; where the shape changes, the shortcut is a 1x1 convolution."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = batch_norm(outputs, splits)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = batch_norm(outputs, splits)
        self.relu2 = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(batch_norm(outputs, splits))

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` without changing it: in-place work touches only what the block itself made."""
        residual: Tensor = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        residual += self.shortcut(x)
        activated: Tensor = self.relu2(residual)
        return activated


class ResNet(nn.Module):
    """ResNet-(6n+2), C, 2C and 4C channels wide (16, 32, 64), for images of 8 pixels or more."""

    def __init__(
        self, arch: str, classes: int, batchnorm_splits: int = 1, width: int = WIDTH
    ) -> None:
        """Make "resnet<6n+2>", C = `width`, with a linear layer to `classes` logits.

        Raises:
            ValueError: `arch` is no such name.
        """
        super().__init__()
        blocks = (depth_of(arch) - 2) // 6
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = batch_norm(width, batchnorm_splits)
        self.relu = nn.ReLU(inplace=True)
        self.stages = nn.ModuleList()
        inputs = width
        for outputs in widths(width):
            strides = [1 if outputs == inputs else 2] + [1] * (blocks - 1)
            stage = nn.Sequential()
            for stride in strides:
                stage.append(BasicBlock(inputs, outputs, stride, batchnorm_splits))
                inputs = outputs
            self.stages.append(stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Give the logits (Eq. 1) and the features, shallow to deep, of images `x`.

        Returns:
            logits [B, K], and the features after their ReLUs: stem [B, C, H, W], stages
            [B, C, H, W], [B, 2C, H/2, W/2] and [B, 4C, H/4, W/4], pooled [B, 4C].
        """
        taps: list[Tensor] = [self.relu(self.bn(self.conv(x)))]
        for stage in self.stages:
            taps.append(stage(taps[-1]))
        taps.append(self.pool(taps[-1]).flatten(1))  # [B, 4C]
        return self.linear(taps[-1]), tuple(taps)
