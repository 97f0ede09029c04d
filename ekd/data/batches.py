"""From a set of images to the inputs of a network: the order of an epoch, and the scaling."""

from __future__ import annotations

import torch
from torch import Tensor

from ekd.streams import generator


def order(seed: int, epoch: int, size: int) -> Tensor:
    """Give the order int64 `[size]`, on CPU, in which an epoch of the run sees the set."""
    return torch.randperm(size, generator=generator(seed, "order", epoch))


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Scale uint8 `[B, H, W, 3]` to float32 `[B, 3, H, W]`, (x / 255 - mean) / std.

    The result is the images' own layout seen as channels_last; nothing is transposed. It is worked
    out a row of pixels at a time, which vectorises four times as well as three channels do.
    """
    batch, height, width, channels = images.shape
    factor = (1 / (255 * std)).repeat(width)  # [W * 3]
    shift = (mean / std).repeat(width)
    rows = images.reshape(-1, width * channels).float().mul_(factor).sub_(shift)
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)
