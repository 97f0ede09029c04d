"""Decoded images with their labels, and the checks that every source has to pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ekd.spec.errors import EnvironmentProblem

FINGERPRINT_DIGITS = 16

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Classes = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Images `[N, H, W, 3]` and labels `[N]` of one split of a source."""

    images: Images
    labels: Labels


@dataclass(frozen=True)
class Arrays:
    """Everything that a source holds; `val` is its own hold-out, where it brings one."""

    train: Part
    test: Part
    val: Part | None
    classes: Classes
    source: str = ""
    """Fingerprint of what was read, where the images are no longer those; else "" is enough."""

    def parts(self) -> Iterator[tuple[str, Part]]:
        """Give the splits that are there, with their names."""
        yield "train", self.train
        if self.val is not None:
            yield "val", self.val
        yield "test", self.test

    def fingerprint(self) -> str:
        """Identify the source (16 hex digits), whatever its images were resized to since."""
        return self.source or self.digest()[:FINGERPRINT_DIGITS]

    def digest(self) -> str:
        """Hash images, labels, shapes and class names (all 64 hex digits of sha256)."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for name, part in self.parts():
            digest.update(f"\0{name}{part.images.shape}".encode())
            digest.update(np.ascontiguousarray(part.images).data)
            digest.update(np.ascontiguousarray(part.labels, dtype="<i8").data)
        return digest.hexdigest()


def checked_images(images: NDArray[np.generic], name: str, source: object) -> Images:
    """Give `[N, H, W, 3]` from `[N, H, W]`, `[N, H, W, 1]` or `[N, H, W, 3]`.

    Raises:
        EnvironmentProblem: where the type is not uint8 or the shape is another one.
    """
    if images.dtype != np.uint8:
        raise EnvironmentProblem(
            f"{source}: {name} is {images.dtype}, but must be uint8 with values from 0 to 255"
        )
    grey = images[..., None] if images.ndim == 3 else images
    if grey.ndim != 4 or grey.shape[3] not in (1, 3) or 0 in grey.shape:
        raise EnvironmentProblem(
            f"{source}: {name} has shape {list(images.shape)}, but must be [N, H, W, 3] (colour) "
            "or [N, H, W] (grey), with N, H, W >= 1"
        )
    colour = grey if grey.shape[3] == 3 else np.repeat(grey, 3, axis=3)
    return np.ascontiguousarray(colour, dtype=np.uint8)


def checked_labels(labels: NDArray[np.generic], name: str, source: object) -> Labels:
    """Give int64 `[N]` from integers `[N]` or `[N, 1]`.

    Raises:
        EnvironmentProblem: where the labels are no integers, have another shape or are negative.
    """
    if labels.dtype.kind not in "iu":
        raise EnvironmentProblem(
            f"{source}: {name} is {labels.dtype}, but must be integers from 0 to classes - 1"
        )
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1 or not len(flat):
        raise EnvironmentProblem(
            f"{source}: {name} has shape {list(labels.shape)}, but must be [N] or [N, 1] with "
            "N >= 1: one class for each image"
        )
    if int(flat.min()) < 0:
        raise EnvironmentProblem(f"{source}: {name} has the negative label {flat.min()}")
    return flat.astype(np.int64)


def check_classes(labels: dict[str, Labels], classes: Classes, source: object) -> None:
    """Refuse classes that nothing can be learned of.

    Raises:
        EnvironmentProblem: where there are fewer than two classes, a class has no training image,
            or a split has a label beyond the classes.
    """
    if len(classes) < 2:
        raise EnvironmentProblem(f"{source}: there is only one class, but it takes at least two")
    if len(set(classes)) < len(classes):
        raise EnvironmentProblem(f"{source}: two classes have the same name")
    for name, found in labels.items():
        if int(found.max()) >= len(classes):
            raise EnvironmentProblem(
                f"{source}: {name} has the label {found.max()}, but there are only "
                f"{len(classes)} classes (0 to {len(classes) - 1})"
            )
    present = np.bincount(labels["train_labels"], minlength=len(classes)) > 0
    if not present.all():
        empty = classes[int(np.argmin(present))]
        raise EnvironmentProblem(
            f"{source}: class {empty!r} has no training image: add some, or leave the class out"
        )
