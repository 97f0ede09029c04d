"""The known data sets: digits from scikit-learn, CIFAR through torchvision."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from ekd.data.arrays import Arrays, Classes, Part
from ekd.data.npz import KEYS, cached, read_npz
from ekd.data.subsets import stratified_order
from ekd.spec.errors import EnvironmentProblem
from ekd.spec.values import KNOWN

DIGITS_MAXIMUM = 16  # grey levels of sklearn.datasets.load_digits


def read_known(name: str, root: Path) -> Arrays:
    """Read the data set `name`: from `<root>/<name>.npz` where that is, else from its source.

    Raises:
        EnvironmentProblem: where the data are missing, damaged, of another number of classes, or
            cannot be downloaded.
    """
    own = root / f"{name}.npz"
    if own.exists():
        return _with_known_classes(read_npz(own), name, own)
    if name not in LOADERS:
        raise EnvironmentProblem(
            f"{KNOWN[name].title} is read from {own}, which is missing: write it with the arrays "
            f"{', '.join(KEYS)} and class_names"
        )
    return LOADERS[name](root)


def _with_known_classes(arrays: Arrays, name: str, source: Path) -> Arrays:
    if len(arrays.classes) != KNOWN[name].classes:
        raise EnvironmentProblem(
            f"{source} has {len(arrays.classes)} classes, but {KNOWN[name].title} has "
            f"{KNOWN[name].classes}: rename it and give it as data.path"
        )
    return arrays


def _digits(root: Path) -> Arrays:
    from sklearn.datasets import load_digits

    grey, labels = load_digits(return_X_y=True)
    scaled = np.rint(grey * (255 / DIGITS_MAXIMUM)).astype(np.uint8).reshape(-1, 8, 8, 1)
    images, labels = np.repeat(scaled, 3, axis=3), labels.astype(np.int64)
    order = stratified_order(labels, 0, "digits")
    train, test = np.split(order, [KNOWN["digits"].train])
    parts = [Part(images[rows], labels[rows]) for rows in (np.sort(train), np.sort(test))]
    return Arrays(parts[0], parts[1], None, tuple(str(digit) for digit in range(10)))


def _cifar10(root: Path) -> Arrays:
    from torchvision.datasets import CIFAR10

    return cached(root / "cache" / "cifar10.npz", lambda: _torchvision(CIFAR10, "cifar10", root))


def _cifar100(root: Path) -> Arrays:
    from torchvision.datasets import CIFAR100

    return cached(root / "cache" / "cifar100.npz", lambda: _torchvision(CIFAR100, "cifar100", root))


LOADERS: dict[str, Callable[[Path], Arrays]] = {
    "digits": _digits,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
}


def _torchvision(dataset: Any, name: str, root: Path) -> Arrays:
    if not (root / dataset.base_folder).exists():
        _download(dataset, name, root)
    try:
        splits = [dataset(root, train=train, download=False) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise EnvironmentProblem(
            f"{root / dataset.base_folder} is damaged ({error}): delete it and start again"
        ) from error
    parts = [
        Part(np.asarray(split.data, dtype=np.uint8), np.asarray(split.targets, dtype=np.int64))
        for split in splits
    ]
    classes: Classes = tuple(splits[0].classes)
    return Arrays(parts[0], parts[1], None, classes)


def _download(dataset: Any, name: str, root: Path) -> None:
    """Download and unpack beside the place where it belongs, check, then rename."""
    archive = root / dataset.filename
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as folder:
            if archive.exists():  # brought by hand; torchvision checks the copy
                shutil.copyfile(archive, Path(folder) / archive.name)
            dataset(folder, train=True, download=True)
            _move(Path(folder) / dataset.base_folder, root / dataset.base_folder)
    except (OSError, RuntimeError, HTTPException) as error:
        raise EnvironmentProblem(
            f"cannot download {KNOWN[name].title} ({error}): put {dataset.filename} from "
            f"{dataset.url} into {root}, or a {name}.npz with the arrays {', '.join(KEYS)}"
        ) from error


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.exists():  # else another process was faster
            raise
