"""The known data sets: digits from scikit-learn, CIFAR through torchvision, Tiny ImageNet."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ekd.data.arrays import Arrays, Part
from ekd.data.cache import cached
from ekd.data.download import Archive, fetched
from ekd.data.npz import read_npz
from ekd.data.pixels import at_resolution
from ekd.data.subsets import stratified_order
from ekd.data.tiny_imagenet import read_tiny_imagenet
from ekd.spec.errors import EnvironmentProblem
from ekd.spec.values import KNOWN

DIGITS_MAXIMUM = 16  # grey levels of sklearn.datasets.load_digits


def read_known(name: str, root: Path, resolution: int) -> Arrays:
    """Read the data set `name`: from `<root>/<name>.npz` where that is, else from its source.

    What is downloaded is decoded once for each resolution; the images of the others have their own.

    Raises:
        EnvironmentProblem: where the data are missing, damaged, of another number of classes, or
            cannot be downloaded.
    """
    own = own_file(name, root)
    if own.exists():
        return _with_known_classes(read_npz(own), name, own)
    if name == "digits":
        return _digits()
    read = DOWNLOADED[name]
    return cached(root, f"{name}-{resolution}", lambda: at_resolution(read(root), resolution))


def own_file(name: str, root: Path) -> Path:
    """Say which file is read for a known data set where it is there."""
    return root / f"{name}.npz"


def _with_known_classes(arrays: Arrays, name: str, source: Path) -> Arrays:
    if len(arrays.classes) != KNOWN[name].classes:
        raise EnvironmentProblem(
            f"{source} has {len(arrays.classes)} classes, but {KNOWN[name].title} has "
            f"{KNOWN[name].classes}: rename it and give it as data.path"
        )
    return arrays


def _digits() -> Arrays:
    from sklearn.datasets import load_digits

    grey, labels = load_digits(return_X_y=True)
    scaled = np.rint(grey * (255 / DIGITS_MAXIMUM)).astype(np.uint8).reshape(-1, 8, 8, 1)
    images, labels = np.repeat(scaled, 3, axis=3), labels.astype(np.int64)
    order = stratified_order(labels, 0, "digits")
    train, test = np.split(order, [KNOWN["digits"].train])
    parts = [Part(images[rows], labels[rows]) for rows in (np.sort(train), np.sort(test))]
    return Arrays(parts[0], parts[1], None, tuple(str(digit) for digit in range(10)))


def _cifar(name: str, root: Path) -> Arrays:
    from torchvision import datasets

    dataset = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    if (root / dataset.base_folder).is_dir():
        return _unpacked(dataset, root)
    archive = fetched(Archive(KNOWN[name].title, dataset.url, dataset.tgz_md5), root)
    try:
        with tempfile.TemporaryDirectory(prefix="ekd-") as folder, tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
            return _unpacked(dataset, Path(folder))
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot unpack {archive} in the temporary folder ({error}): free its disk, or set "
            "TMPDIR to a folder on another one"
        ) from error


def _unpacked(dataset: Any, folder: Path) -> Arrays:
    """Read the batches; torchvision checks the md5 of each."""
    try:
        splits = [dataset(folder, train=train, download=False) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise EnvironmentProblem(
            f"{folder / dataset.base_folder} is damaged ({error}): delete it and start again"
        ) from error
    parts = [
        Part(np.asarray(split.data, dtype=np.uint8), np.asarray(split.targets, dtype=np.int64))
        for split in splits
    ]
    return Arrays(parts[0], parts[1], None, tuple(splits[0].classes))


DOWNLOADED: dict[str, Callable[[Path], Arrays]] = {
    "cifar10": partial(_cifar, "cifar10"),
    "cifar100": partial(_cifar, "cifar100"),
    "tiny-imagenet": read_tiny_imagenet,
}
NATIVE_SIDE = {"cifar10": 32, "cifar100": 32, "tiny-imagenet": 64}
