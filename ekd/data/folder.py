"""A folder of images: `train/<class>/*`, `test/<class>/*`, and `val/<class>/*` as hold-out."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ekd.data.arrays import FINGERPRINT_DIGITS, Arrays, Classes, Images, Labels, Part, check_classes
from ekd.data.pixels import decoded
from ekd.spec.errors import EnvironmentProblem, nearest

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
)

Listing = dict[str, tuple[list[Path], Labels]]


def list_folder(root: Path) -> tuple[Listing, Classes]:
    """List the image files and labels of each split, and the classes in sorted order.

    Hidden files and folders and files that are no images by their suffix are passed over.

    Raises:
        EnvironmentProblem: where `train` or `test` is missing or has no class, a class has no
            image, or another split has a class that `train` lacks.
    """
    trees = {split: _classes_of(root / split) for split in ("train", "test")}
    if (root / "val").is_dir():
        trees["val"] = _classes_of(root / "val")
    classes = tuple(trees["train"])
    for split, tree in trees.items():
        for name in tree:
            if name not in classes:
                raise EnvironmentProblem(
                    f"{root / split / name}: train has no class {name!r}{nearest(name, classes)}"
                )
    listing = {split: _flat(tree, classes) for split, tree in trees.items()}
    check_classes({f"{s}_labels": labels for s, (_, labels) in listing.items()}, classes, root)
    return listing, classes


def folder_fingerprint(root: Path, listing: Listing) -> str:
    """Hash the relative path and the bytes of every image file (16 hex digits)."""
    digest = hashlib.sha256()
    for files, _ in listing.values():
        for path in files:
            content = _bytes(path)
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def read_folder(listing: Listing, classes: Classes, resolution: int, source: str) -> Arrays:
    """Decode every image to RGB at `resolution` squared; `source` is the folder's fingerprint.

    Raises:
        EnvironmentProblem: naming the first image that cannot be read.
    """
    parts = {
        split: Part(decoded(files, partial(_decode, resolution=resolution), resolution), labels)
        for split, (files, labels) in listing.items()
    }
    return Arrays(parts["train"], parts["test"], parts.get("val"), classes, source)


def image_sizes(listing: Listing) -> set[tuple[int, int]]:
    """Look up height and width of every image file, as they are stored."""
    return {_size(path) for files, _ in listing.values() for path in files}


def _classes_of(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise EnvironmentProblem(
            f"{folder} is missing: an image folder has train/<class>/* and test/<class>/*"
        )
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            found[path.name] = _images_in(path)
    if not found:
        raise EnvironmentProblem(f"{folder} has no folder of a class: put images in <class>/ there")
    return found


def _images_in(folder: Path) -> list[Path]:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not files:
        raise EnvironmentProblem(f"{folder} has no image: add some, or remove the folder")
    return files


def _flat(tree: dict[str, list[Path]], classes: Classes) -> tuple[list[Path], Labels]:
    files = [path for paths in tree.values() for path in paths]
    labels = [classes.index(name) for name, paths in tree.items() for _ in paths]
    return files, np.array(labels, dtype=np.int64)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"cannot read the image {path}: {error.strerror}") from error


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as opened:  # reads no pixels
        return opened.height, opened.width


def _decode(path: Path, *, resolution: int) -> Images:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)  # photographs carry their rotation aside
            return np.asarray(_rgb(upright).resize((resolution,) * 2, Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EnvironmentProblem(
            f"cannot read the image {path} ({error}): replace or remove it"
        ) from error


def _rgb(image: Any) -> Any:
    if image.mode.startswith(("I", "F")):
        raise ValueError("it has more than 8 bits per channel; store it with 8")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
