"""Whole sets of images: brought to one size, and the mean and deviation of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ekd.data.arrays import Arrays, Images, Labels, Part

T = TypeVar("T")

CHUNK = 1024  # images
SMALLEST_DEVIATION = 1 / 255  # of a channel that is constant over the set


def decoded(files: Sequence[T], decode: Callable[[T], Images], side: int) -> Images:
    """Decode `files`, each to `[side, side, 3]`, on all cores: Pillow lets go of Python's lock."""
    images = np.empty((len(files), side, side, 3), dtype=np.uint8)

    def fill(position: int) -> None:
        images[position] = decode(files[position])

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(fill, range(len(files))):
            pass
    return images


def at_resolution(arrays: Arrays, resolution: int) -> Arrays:
    """Resize all images to `resolution` squared; the fingerprint stays the source's."""
    parts = {n: Part(resized(part.images, resolution), part.labels) for n, part in arrays.parts()}
    return Arrays(
        parts["train"], parts["test"], parts.get("val"), arrays.classes, arrays.fingerprint()
    )


def resized(images: Images, resolution: int) -> Images:
    """Resize `[N, H, W, 3]` to `[N, R, R, 3]`: bilinear, antialiased, rounded to uint8."""
    if images.shape[1:3] == (resolution, resolution):
        return images
    result = np.empty((len(images), resolution, resolution, 3), dtype=np.uint8)
    for start in range(0, len(images), CHUNK):
        chunk = torch.from_numpy(images[start : start + CHUNK]).permute(0, 3, 1, 2).float()
        scaled = interpolate(
            chunk, (resolution, resolution), mode="bilinear", align_corners=False, antialias=True
        )
        rounded = scaled.round().clamp(0, 255).to(torch.uint8)
        result[start : start + CHUNK] = rounded.permute(0, 2, 3, 1).numpy()
    return result


def moments(images: Images, rows: Labels) -> tuple[Tensor, Tensor]:
    """Give mean and standard deviation `[3]` of pixel values in [0, 1] over the images `rows`.

    Both come from a histogram of each channel, so they are exact at any chunk or thread count.
    """
    histogram = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(rows), CHUNK):
        pixels = images[rows[start : start + CHUNK]].reshape(-1, 3)
        for channel in range(3):
            histogram[channel] += np.bincount(pixels[:, channel], minlength=256)
    share = histogram / histogram.sum(1, keepdims=True)
    values = np.arange(256) / 255
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1))
    return (
        torch.from_numpy(mean).float(),
        torch.from_numpy(std).float().clamp(min=SMALLEST_DEVIATION),
    )
