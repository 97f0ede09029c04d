"""Tiny ImageNet as Stanford's CS231n gives it out: 200 classes, 64 x 64.

The labels of its `test` were never given out, so its `val` is the test split here, as it is in all
papers. `val` is a flat folder; its labels stand in `val/val_annotations.txt`. The classes are in
the order of their WordNet numbers (not of `wnids.txt`), the images of `train` in that of their
names, and those of `val` in that of the annotations.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from ekd.data.arrays import Arrays, Classes, Images, Part
from ekd.data.download import Archive, fetched
from ekd.data.pixels import decoded
from ekd.spec.errors import EnvironmentProblem
from ekd.spec.values import KNOWN

FOLDER = "tiny-imagenet-200"
ARCHIVE = Archive(
    "Tiny ImageNet",
    f"http://cs231n.stanford.edu/{FOLDER}.zip",
    md5="90528d7ca1a48142e341f4ef8d21d0de",
)
SIDE = 64
UNREADABLE = (OSError, ValueError, KeyError, SyntaxError, BadZipFile, zlib.error)


Labelled = list[tuple[str, str]]
"""Names of image files, each with the WordNet number of its class."""


@dataclass(frozen=True)
class Tree:
    """What `tiny-imagenet-200/` holds, packed or unpacked, by names below it."""

    train: list[str]
    """Files below `train`."""
    read: Callable[[str], bytes]

    def lines(self, name: str) -> list[list[str]]:
        """Read a text file, its lines split at tabs."""
        return [line.split("\t") for line in self.read(name).decode().splitlines()]


def read_tiny_imagenet(root: Path) -> Arrays:
    """Read the unpacked folder in the data root, else the archive there, else download that.

    Raises:
        EnvironmentProblem: where none of them is to be had, or one is damaged or incomplete.
    """
    folder = root / FOLDER
    if folder.is_dir():
        train = [path.relative_to(folder).as_posix() for path in folder.glob("train/*/*/*")]
        return _arrays(Tree(train, lambda name: (folder / name).read_bytes()), folder)
    archive = fetched(ARCHIVE, root)
    with ZipFile(archive) as packed:
        names = [name.removeprefix(f"{FOLDER}/") for name in packed.namelist()]
        train = [name for name in names if name.startswith("train/")]
        return _arrays(Tree(train, lambda name: packed.read(f"{FOLDER}/{name}")), archive)


def _arrays(tree: Tree, source: Path) -> Arrays:
    known = KNOWN["tiny-imagenet"]
    try:
        numbers = sorted(line[0] for line in tree.lines("wnids.txt"))
        classes = _class_names(tree, numbers)
        train = _complete("train", _train(tree), known.train)
        val = _complete("val", _val(tree), known.test)
        parts = [_part(tree, numbers, labelled) for labelled in (train, val)]
    except UNREADABLE as error:
        raise EnvironmentProblem(
            f"{ARCHIVE.title}: {source} is damaged or incomplete ({error}): delete it and start "
            f"again, the images then come from {ARCHIVE.name}"
        ) from error
    return Arrays(parts[0], parts[1], None, classes)


def _train(tree: Tree) -> Labelled:
    files = sorted(name for name in tree.train if name.endswith(".JPEG"))
    return [(name, name.split("/")[1]) for name in files]


def _val(tree: Tree) -> Labelled:
    lines = tree.lines("val/val_annotations.txt")
    return [(f"val/images/{file}", number) for file, number, *_box in lines]


def _complete(split: str, labelled: Labelled, expected: int) -> Labelled:
    if len(labelled) != expected:
        raise ValueError(f"{split} has {len(labelled)} images in place of {expected}")
    return labelled


def _part(tree: Tree, numbers: list[str], labelled: Labelled) -> Part:
    label = {number: position for position, number in enumerate(numbers)}
    labels = np.array([label[number] for _, number in labelled], dtype=np.int64)
    files = [file for file, _ in labelled]
    return Part(decoded(files, lambda name: _decode(tree, name), SIDE), labels)


def _decode(tree: Tree, name: str) -> Images:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(tree.read(name))) as image:  # some are grey
            if image.size != (SIDE, SIDE):
                raise ValueError(f"it is {image.width} x {image.height}")
            return np.asarray(image.convert("RGB"))
    except UNREADABLE as error:
        raise ValueError(f"cannot read the image {name}") from error


def _class_names(tree: Tree, numbers: list[str]) -> Classes:
    """Name each class by the first of its synonyms; by its number, where another has that name."""
    words = {number: synonyms.split(",")[0] for number, synonyms in tree.lines("words.txt")}
    names = [words.get(number, number) for number in numbers]
    return tuple(n if names.count(n) == 1 else num for n, num in zip(names, numbers, strict=True))
