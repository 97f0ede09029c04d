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

from ekd.data.arrays import FINGERPRINT_DIGITS, Arrays, Classes, Labels, Part
from ekd.data.folder import folder_fingerprint, list_folder, read_folder
from ekd.data.known import read_known
from ekd.data.npz import cached, read_npz, read_npz_labels
from ekd.data.pixels import moments, resized
from ekd.data.subsets import choose_subset, cut_holdout, holdout_size, subset_size
from ekd.spec.errors import EnvironmentProblem, SpecError
from ekd.spec.values import KNOWN, Data


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


@dataclass(frozen=True)
class Description:
    """Sizes: classes, training images after hold-out and fraction, and test images."""

    classes: int
    train: int
    test: int


def load(data: Data, root: Path, device: torch.device | str = "cpu") -> Splits:
    """Read the data below the data root `root` and put them on `device`.

    A relative `data.path` is taken from the current folder.

    Raises:
        SpecError: where `data.path` is neither a folder nor an .npz.
        EnvironmentProblem: where the data are missing or damaged, cannot be downloaded, leave
            nothing to train on, or are others than `data.fingerprint` says.
    """
    arrays, content = _read(data, root)
    if data.fingerprint and data.fingerprint != content:
        raise EnvironmentProblem(
            f"{data.path or data.name} has changed: its fingerprint is {content}, but the "
            f"run was planned with {data.fingerprint}: restore the data, or plan the run anew"
        )
    parts = {n: Part(resized(p.images, data.resolution), p.labels) for n, p in arrays.parts()}
    rest, holdout = _train_and_holdout(parts, arrays.classes, data)
    mean, std = moments(parts["train"].images, rest)
    chosen = rest[choose_subset(parts["train"].labels[rest], arrays.classes, data)]
    return Splits(
        train=_split(parts["train"], chosen, device),
        holdout=None if holdout is None else _split(*holdout, device),
        test=_split(parts["test"], np.arange(len(parts["test"].labels)), device),
        classes=arrays.classes,
        mean=mean.to(device),
        std=std.to(device),
        fingerprint=content,
    )


def describe(data: Data, root: Path) -> Description:
    """Count classes and images: of known data without opening them, else from the labels alone.

    Raises:
        SpecError, EnvironmentProblem: as `load`.
    """
    if data.name:
        known = KNOWN[data.name]
        rest = known.train - holdout_size(known.train, data)
        return Description(known.classes, subset_size(rest, known.classes, data), known.test)
    labels, classes = _labels_at(Path(data.path))
    rest = len(labels["train"])
    if "val" not in labels:
        rest -= holdout_size(rest, data)
    return Description(len(classes), subset_size(rest, len(classes), data), len(labels["test"]))


def fingerprint(data: Data, root: Path) -> str:
    """Hash the content of the source (16 hex digits): of an image folder its files, else arrays.

    Raises:
        SpecError, EnvironmentProblem: as `load`.
    """
    if data.path and _is_folder(Path(data.path)):
        return folder_fingerprint(Path(data.path), list_folder(Path(data.path))[0])
    return _read(data, root)[1]


def _read(data: Data, root: Path) -> tuple[Arrays, str]:
    path = Path(data.path)
    if data.path and _is_folder(path):
        listing, classes = list_folder(path)
        content = folder_fingerprint(path, listing)
        file = root / "cache" / f"{path.resolve().name}-{content}-{data.resolution}.npz"
        return cached(file, lambda: read_folder(listing, classes, data.resolution)), content
    arrays = read_npz(path) if data.path else read_known(data.name, root)
    return arrays, arrays.digest()[:FINGERPRINT_DIGITS]


def _labels_at(path: Path) -> tuple[dict[str, Labels], Classes]:
    if not _is_folder(path):
        return read_npz_labels(path)
    listing, classes = list_folder(path)
    return {split: labels for split, (_, labels) in listing.items()}, classes


def _is_folder(path: Path) -> bool:
    if not path.exists():
        raise EnvironmentProblem(f"data.path {str(path)!r} is missing (looked in {Path.cwd()})")
    if not path.is_dir() and path.suffix != ".npz":
        raise SpecError(f"data.path {str(path)!r} is neither a folder of images nor an .npz file")
    return path.is_dir()


def _train_and_holdout(
    parts: dict[str, Part], classes: Classes, data: Data
) -> tuple[Labels, tuple[Part, Labels] | None]:
    train = parts["train"]
    if not data.holdout:
        return np.arange(len(train.labels)), None
    if "val" in parts:
        val = parts["val"]
        return np.arange(len(train.labels)), (val, np.arange(len(val.labels)))
    rest, held_out = cut_holdout(train.labels, classes, data)
    return rest, (train, held_out)


def _split(part: Part, rows: Labels, device: torch.device | str) -> Split:
    return Split(
        images=torch.from_numpy(part.images[rows]).to(device),
        labels=torch.from_numpy(part.labels[rows]).to(device),
        index=torch.from_numpy(rows).to(device),
    )
