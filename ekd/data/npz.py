"""An `.npz` file with the keys of MedMNIST, and the cache, which has the same form.

`train_images`, `train_labels`, `test_images`, `test_labels`; optionally `val_images` and
`val_labels` (the hold-out) and `class_names`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
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
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path) -> Arrays:
    """Read and check the whole file.

    Raises:
        EnvironmentProblem: where the file cannot be read, lacks a key, or holds something else
            than uint8 images and labels from 0 to classes - 1.
    """
    with _opened(path) as file:
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
    with _opened(path) as file:
        return _labels(file, path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    try:
        with path.open("rb") as stream:  # numpy leaves a file open that is no archive
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, NpzFile):
                raise ValueError("it is not an .npz archive")
            with file:
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
        classes = tuple(str(label) for label in range(int(labels["train"].max()) + 1))
    check_classes({f"{split}_labels": found for split, found in labels.items()}, classes, path)
    return labels, classes


def cached(path: Path, build: Callable[[], Arrays]) -> Arrays:
    """Read `path` where its checksum holds; else build the arrays and write it, if it can be."""
    found = _read_cache(path)
    if found is None:
        found = build()
        with contextlib.suppress(OSError):  # a data root that cannot be written has no cache
            _write_cache(path, found)
    return found


def _read_cache(path: Path) -> Arrays | None:
    try:
        arrays = read_npz(path)
        with _opened(path) as file:
            checksum = str(file["checksum"])
    except EnvironmentProblem:
        return None
    return arrays if arrays.digest() == checksum else None


def _write_cache(path: Path, arrays: Arrays) -> None:
    content = {"class_names": np.array(arrays.classes), "checksum": np.array(arrays.digest())}
    for name, part in arrays.parts():
        content |= {f"{name}_images": part.images, f"{name}_labels": part.labels}
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **content)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
