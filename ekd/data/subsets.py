"""Which training images a run sees: hold-out first, then a nested fraction of the rest."""

from __future__ import annotations

import numpy as np
import torch

from ekd.data.arrays import Classes, Labels
from ekd.spec.errors import SpecError
from ekd.spec.values import Data
from ekd.streams import generator


def stratified_order(labels: Labels, seed: int, name: str) -> Labels:
    """Order all positions so that every prefix holds each class in proportion, to within one image.

    The r-th image of a class of n, in a random order of the class's own, stands at (r + 1/2) / n:
    the seats of the Sainte-Lague method. Prefixes are nested and have exactly the length asked for.
    """
    keys = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        shuffled = members[_permutation(len(members), seed, name, int(label))]
        keys[shuffled] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(keys, kind="stable")


def holdout_size(images: int, data: Data) -> int:
    """Count the images that the hold-out takes of this many training images."""
    return max(1, round(data.holdout * images)) if data.holdout else 0


def subset_size(images: int, classes: int, data: Data) -> int:
    """Count the images that the fraction leaves of this many: at least one of each class."""
    return min(images, max(classes, round(data.fraction * images)))


def cut_holdout(labels: Labels, classes: Classes, data: Data) -> tuple[Labels, Labels]:
    """Split the positions of the training images in (rest, hold-out), both ascending.

    Raises:
        SpecError: where the hold-out takes all images of a class.
    """
    order = stratified_order(labels, data.subset_seed, "holdout")
    size = holdout_size(len(labels), data)
    rest = np.sort(order[size:])
    missing = _missing_class(labels[rest], classes)
    if missing is not None:
        raise SpecError(
            f"a hold-out of {data.holdout} leaves no training image of class {missing!r}: add "
            "images of it, or set data.holdout = 0"
        )
    return rest, np.sort(order[:size])


def choose_subset(labels: Labels, classes: Classes, data: Data) -> Labels:
    """Choose the fraction of the images with these labels; positions, ascending.

    Nested: what a smaller fraction of the same seed and sampling holds is in every larger one.

    Raises:
        SpecError: where an iid draw has no image of a class.
    """
    size = subset_size(len(labels), len(classes), data)
    if data.sampling == "iid":
        chosen = np.sort(_permutation(len(labels), data.subset_seed, "subset")[:size])
    else:
        order = stratified_order(labels, data.subset_seed, "subset")
        chosen = np.sort(_one_of_each_first(order, labels)[:size])
    missing = _missing_class(labels[chosen], classes)
    if missing is not None:
        raise SpecError(
            f"an iid fraction of {data.fraction} has no image of class {missing!r}: take a larger "
            "data.fraction, another data.subset_seed, or data.sampling = 'stratified'"
        )
    return chosen


def _one_of_each_first(order: Labels, labels: Labels) -> Labels:
    _, first = np.unique(labels[order], return_index=True)
    first = np.sort(first)
    return np.concatenate([order[first], np.delete(order, first)])


def _permutation(size: int, seed: int, *names: str | int) -> Labels:
    permutation: Labels = torch.randperm(size, generator=generator(seed, *names)).numpy()
    return permutation


def _missing_class(labels: Labels, classes: Classes) -> str | None:
    present = np.bincount(labels, minlength=len(classes)) > 0
    return None if present.all() else classes[int(np.argmin(present))]
