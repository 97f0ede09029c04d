"""What a source of images holds, for a person who wants to see it before training on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ekd.data.arrays import Arrays, Classes, Labels
from ekd.data.folder import image_sizes, list_folder
from ekd.data.known import DOWNLOADED, NATIVE_SIDE, own_file
from ekd.data.pixels import at_resolution, moments
from ekd.data.sources import is_folder, read
from ekd.spec.values import KNOWN, Data

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class ImageCount:
    """Images of one split, and of its smallest and its largest class."""

    images: int
    smallest_class: int
    largest_class: int


@dataclass(frozen=True)
class Inspection:
    """A source as it lies there, before hold-out and fraction."""

    title: str
    origin: str
    """File, folder, address or package that it was read from."""
    fingerprint: str
    classes: Classes
    splits: dict[str, ImageCount]
    """By name: train, test, and val where the source brings one."""
    native_sizes: tuple[Size, Size]
    """Smallest and largest image before resizing, by area; equal where all are."""
    resolution: int
    """Side of the images once resized: what mean and std were taken at."""
    mean: tuple[float, ...]
    """Of each channel over all training images, pixel values in [0, 1]."""
    std: tuple[float, ...]


def inspect(source: Data, root: Path) -> Inspection:
    """Read a source in whole and tell what it holds; hold-out and fraction are not heeded.

    Raises:
        SpecError, EnvironmentProblem: as `load`.
    """
    arrays = read(source, root)
    sizes = sorted(_native_sizes(source, root, arrays), key=math.prod)
    arrays = at_resolution(arrays, source.resolution)
    mean, std = moments(arrays.train.images, np.arange(len(arrays.train.labels)))
    return Inspection(
        title=KNOWN[source.name].title if source.name else Path(source.path).resolve().name,
        origin=_origin(source, root),
        fingerprint=arrays.fingerprint(),
        classes=arrays.classes,
        splits={n: _count(part.labels, len(arrays.classes)) for n, part in arrays.parts()},
        native_sizes=(sizes[0], sizes[-1]),
        resolution=source.resolution,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
    )


def _count(labels: Labels, classes: int) -> ImageCount:
    counts = np.bincount(labels, minlength=classes)
    return ImageCount(len(labels), int(counts.min()), int(counts.max()))


def _origin(source: Data, root: Path) -> str:
    if source.path:
        return str(Path(source.path).resolve())
    own = own_file(source.name, root)
    if own.exists():
        return str(own)
    return f"the official archive, below {root}" if source.name in DOWNLOADED else "scikit-learn"


def _native_sizes(source: Data, root: Path, arrays: Arrays) -> set[Size]:
    """Give the sizes before resizing, which `arrays` has from a file of arrays only."""
    if source.path and is_folder(Path(source.path)):
        return image_sizes(list_folder(Path(source.path))[0])
    if source.name in DOWNLOADED and not own_file(source.name, root).exists():
        return {(NATIVE_SIDE[source.name],) * 2}
    return {part.images.shape[1:3] for _, part in arrays.parts()}
