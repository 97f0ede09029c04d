"""The data of a run as tensors: source, resize, hold-out, fraction, and what inputs are scaled by.

A `val` split that a source brings is the hold-out whenever `data.holdout` is above 0, whatever its
value; at 0 it is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ekd.data.arrays import Arrays, Classes, Labels, Part
from ekd.data.pixels import at_resolution, moments
from ekd.data.sources import read
from ekd.data.subsets import choose_subset, cut_holdout
from ekd.spec.errors import EnvironmentProblem
from ekd.spec.values import Data


@dataclass(frozen=True)
class Split:
    """Images uint8 `[N, H, W, 3]`, labels int64 `[N]`, and index int64 `[N]`.

    `index` is a sample's position in its whole split of the source (for a hold-out cut from the
    training images: in those), whatever subset it is seen in.
    """

    images: Tensor
    labels: Tensor
    index: Tensor


@dataclass(frozen=True)
class Splits:
    """What a run sees; `mean` and `std` `[3]` are of pixel values in [0, 1].

    They are those of all training images that are not held out, before the fraction is taken, so
    that the teachers of another fraction take the same inputs. `fingerprint` is the source's.
    """

    train: Split
    holdout: Split | None
    test: Split
    classes: Classes
    mean: Tensor
    std: Tensor
    fingerprint: str


def load(data: Data, root: Path, device: torch.device | str = "cpu") -> Splits:
    """Read the data below the data root `root` and put them on `device`.

    A relative `data.path` is taken from the current folder.

    Raises:
        SpecError: where `data.path` is neither a folder nor an .npz.
        EnvironmentProblem: where the data are missing or damaged, cannot be downloaded, leave
            nothing to train on, or are others than `data.fingerprint` says.
    """
    arrays = at_resolution(read(data, root), data.resolution)
    content = arrays.fingerprint()
    if data.fingerprint and data.fingerprint != content:
        raise EnvironmentProblem(
            f"{data.path or data.name} has changed: its fingerprint is {content}, but the "
            f"run was planned with {data.fingerprint}: restore the data, or plan the run anew"
        )
    rest, holdout = _train_and_holdout(arrays, data)
    mean, std = moments(arrays.train.images, rest)
    chosen = rest[choose_subset(arrays.train.labels[rest], arrays.classes, data)]
    return Splits(
        train=_split(arrays.train, chosen, device),
        holdout=None if holdout is None else _split(*holdout, device),
        test=_split(arrays.test, _all(arrays.test), device),
        classes=arrays.classes,
        mean=mean.to(device),
        std=std.to(device),
        fingerprint=content,
    )


def _train_and_holdout(arrays: Arrays, data: Data) -> tuple[Labels, tuple[Part, Labels] | None]:
    train, val = arrays.train, arrays.val
    if not data.holdout:
        return _all(train), None
    if val is not None:
        return _all(train), (val, _all(val))
    rest, held_out = cut_holdout(train.labels, arrays.classes, data)
    return rest, (train, held_out)


def _all(part: Part) -> Labels:
    return np.arange(len(part.labels))


def _split(part: Part, rows: Labels, device: torch.device | str) -> Split:
    if len(rows) < len(part.labels):  # else all of them, which need no copy
        part = Part(part.images[rows], part.labels[rows])
    return Split(
        images=torch.from_numpy(part.images).to(device),
        labels=torch.from_numpy(part.labels).to(device),
        index=torch.from_numpy(rows).to(device),
    )
