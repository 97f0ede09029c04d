"""Pad, crop and flip for whole batches, each draw a function of seed, epoch and sample alone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from ekd.streams import stream_seed

Kind = Literal["none", "flip", "crop", "crop-flip"]

PADDING = 4  # pixels of zeros on each side
OFFSETS = 2 * PADDING + 1

# splitmix64 (Steele, Lea and Flood 2014), its constants as signed 64-bit integers
GAMMA = 0x9E3779B97F4A7C15 - 2**64
MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
MIX_2 = 0x94D049BB133111EB - 2**64


def splitmix64(index: Tensor, seed: int) -> Tensor:
    """Give the (index + 1)-th output of splitmix64 from `seed`: int64 `[B]`, all 64 bits random."""
    state = seed + (index + 1) * GAMMA  # wraps around, as it has to
    state = (state ^ _shifted(state, 30)) * MIX_1
    state = (state ^ _shifted(state, 27)) * MIX_2
    return state ^ _shifted(state, 31)


def augment(images: Tensor, index: Tensor, kind: Kind, seed: int, epoch: int) -> Tensor:
    """Crop and flip images uint8 `[B, H, W, 3]`, the sample `index` `[B]` alike in any batch.

    A crop pads 4 pixels of zeros and takes a window of the old size, uniformly among the 81; a
    flip is left to right, for half of the samples.
    """
    if kind == "none":
        return images
    bits = splitmix64(index, stream_seed(seed, "augment", epoch))  # [B]
    if "flip" in kind:
        flipped = (bits < 0).view(-1, 1, 1, 1)
        images = torch.where(flipped, images.flip(2), images)
    if "crop" in kind:
        images = crop(images, _offset(_shifted(bits, 1)), _offset(_shifted(bits, 32)))
    return images


def crop(images: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Take from each padded image `[B, H, W, 3]` the window at `top`, `left` `[B]` in 0 .. 8.

    A row of a window is contiguous in the padded batch, so one gather copies whole rows: about
    five times as fast as a gather of pixels.
    """
    batch, height, width, channels = images.shape
    padded = pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING))
    windows = padded.view(-1).unfold(0, width * channels, channels)  # a view, a row at each pixel
    rows = torch.arange(height, device=images.device) + top.view(-1, 1)  # [B, H]
    first = torch.arange(batch, device=images.device).view(-1, 1) * padded.shape[1]
    start = (first + rows) * padded.shape[2] + left.view(-1, 1)
    return windows.index_select(0, start.view(-1)).view(images.shape)


def _offset(bits: Tensor) -> Tensor:
    return ((bits & 0x7FFFFFFF) * OFFSETS) >> 31  # 31 bits to 0 .. 8, uniform to 1 part in 10**8


def _shifted(value: Tensor, places: int) -> Tensor:
    return (value >> places) & ((1 << (64 - places)) - 1)  # without the copies of the sign bit
