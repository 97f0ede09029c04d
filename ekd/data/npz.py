"""An `.npz` file with the keys of MedMNIST.

`train_images`, `train_labels`, `test_images`, `test_labels`; optionally `val_images` and
`val_labels` (the hold-out) and `class_names`.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from ekd.data.arrays import (
    Arrays,
    Classes,
    Labels,
    Part,
    check_classes,
    checked_images,
    checked_labels,
)
from ekd.spec.errors import EnvironmentProblem

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error,
    RuntimeError,  # zipfile, where a damaged file seems encrypted or of an unknown version
)  # fmt: skip


def read_npz(path: Path) -> Arrays:
    """Read and check the whole file.

    Raises:
        EnvironmentProblem: where the file cannot be read, lacks a key, or holds something else
            than uint8 images and labels from 0 to classes - 1.
    """
    with opened(path) as file:
        labels, classes = _labels(file, path)
        parts = {
            split: Part(checked_images(file[f"{split}_images"], f"{split}_images", path), found)
            for split, found in labels.items()
        }
    for split, part in parts.items():
        if len(part.images) != len(part.labels):
            raise EnvironmentProblem(
                f"{path}: {split}_images has {len(part.images)} images, but {split}_labels has "
                f"{len(part.labels)} labels"
            )
    return Arrays(parts["train"], parts["test"], parts.get("val"), classes)


def read_npz_labels(path: Path) -> tuple[dict[str, Labels], Classes]:
    """Read the labels of each split and the class names only; raises as `read_npz`."""
    with opened(path) as file:
        return _labels(file, path)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[NpzFile]:
    """Open the file; EnvironmentProblem where what is read of it inside the block is damaged."""
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise ValueError("it is not an .npz archive")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                yield file
    except UNREADABLE as error:
        raise EnvironmentProblem(
            f"cannot read {path} ({error}): it must be an .npz file with the arrays "
            f"{', '.join(KEYS)}"
        ) from error


def _labels(file: NpzFile, path: Path) -> tuple[dict[str, Labels], Classes]:
    missing = [key for key in KEYS if key not in file.files]
    if ("val_images" in file.files) != ("val_labels" in file.files):
        missing.append("val_images" if "val_labels" in file.files else "val_labels")
    if missing:
        raise EnvironmentProblem(
            f"{path} lacks {', '.join(missing)} (it has {', '.join(file.files) or 'nothing'})"
        )
    splits = ["train", "test"] + ["val"] * ("val_labels" in file.files)
    labels = {s: checked_labels(file[f"{s}_labels"], f"{s}_labels", path) for s in splits}
    if "class_names" in file.files:
        classes = tuple(str(name) for name in file["class_names"].astype(np.str_).ravel())
    else:
        largest, images = int(labels["train"].max()), len(labels["train"])
        if largest >= images:  # a class would be empty, and so many names may fill the memory
            raise EnvironmentProblem(
                f"{path}: train_labels goes up to {largest}, but there are only {images} training "
                "images: number the classes from 0 without gaps"
            )
        classes = tuple(str(label) for label in range(largest + 1))
    check_classes({f"{split}_labels": found for split, found in labels.items()}, classes, path)
    return labels, classes
