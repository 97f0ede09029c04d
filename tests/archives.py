"""Archives of a few images, laid out as the official ones of CIFAR and Tiny ImageNet are."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ekd.spec.values import KNOWN

CIFAR_FILES = {
    "CIFAR10": ([f"data_batch_{i}" for i in range(1, 6)], "test_batch", "batches.meta"),
    "CIFAR100": (["train"], "test", "meta"),
}
TRAIN_IMAGES, TEST_IMAGES = 100, 20


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def cifar_pixels(count: int, first: int) -> np.ndarray:
    """Images uint8 `[N, 3, 32, 32]` which differ in every pixel's place and channel."""
    shape = (count, 3, 32, 32)
    return (np.arange(np.prod(shape)).reshape(shape) // 7 + first).astype(np.uint8)


@cache
def cifar(kind: str) -> tuple[bytes, dict[str, Any]]:
    """Give an archive of 100 + 20 images, and what torchvision's class must say of it."""
    from torchvision import datasets

    official = getattr(datasets, kind)
    train, test, meta = CIFAR_FILES[kind]
    classes = 10 if kind == "CIFAR10" else 100
    key = "labels" if kind == "CIFAR10" else "fine_labels"
    size = TRAIN_IMAGES // len(train)
    files: dict[str, Any] = {meta: {official.meta["key"]: [f"c{i}" for i in range(classes)]}}
    for i, name in enumerate((*train, test)):
        count = TEST_IMAGES if name == test else size
        labels = [(i * size + j) % classes for j in range(count)]
        files[name] = {"data": cifar_pixels(count, i).reshape(count, -1), key: labels}
    packed = {name: pickle.dumps(content) for name, content in files.items()}
    archive = _tar({f"{official.base_folder}/{n}": content for n, content in packed.items()})
    return archive, {
        "tgz_md5": md5(archive),
        "train_list": [[name, md5(packed[name])] for name in train],
        "test_list": [[test, md5(packed[test])]],
        "meta": official.meta | {"md5": md5(packed[meta])},
    }


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


NUMBERS = ["n03", "n01", "n02", "n04"]
"""Of the classes, in the order of wnids.txt."""
WORDS = {"n01": "crane", "n02": "goldfish, Carassius auratus", "n03": "crane, bird", "n09": "no"}
PER_CLASS = 3
VAL = ["n02", "n01", "n04", "n03", "n02"]


def grey_level(number: str, position: int) -> int:
    return 60 * NUMBERS.index(number) + 10 * position


def tiny_imagenet() -> dict[str, bytes]:
    """Four classes of plain images, 3 for training each, and 5 of `val`, by names in the folder."""
    files = {
        "wnids.txt": "".join(f"{n}\n" for n in NUMBERS).encode(),
        "words.txt": "".join(f"{n}\t{words}\n" for n, words in WORDS.items()).encode(),
        "val/val_annotations.txt": "".join(
            f"val_{i}.JPEG\t{n}\t0\t32\t44\t62\n" for i, n in enumerate(VAL)
        ).encode(),
        "test/images/test_0.JPEG": b"never read",
    }
    for number in NUMBERS:
        files[f"train/{number}/{number}_boxes.txt"] = b"never read"
        for i in range(PER_CLASS):
            name = f"train/{number}/images/{number}_{i}.JPEG"
            files[name] = jpeg(grey_level(number, i), "L" if i == 1 else "RGB")
    for i, number in enumerate(VAL):
        files[f"val/images/val_{i}.JPEG"] = jpeg(grey_level(number, 4), "RGB")
    return files


def jpeg(level: int, mode: str, side: int = 64) -> bytes:
    buffer = io.BytesIO()
    colour: Any = level if mode == "L" else (level,) * 3
    Image.new(mode, (side, side), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for folder in ("", "train/"):
            packed.writestr(zipfile.ZipInfo(f"tiny-imagenet-200/{folder}"), b"")
        for name, content in files.items():
            packed.writestr(zipfile.ZipInfo(f"tiny-imagenet-200/{name}"), content)
    return buffer.getvalue()


def unpacked(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


FILE_NAMES = {
    "cifar10": "cifar-10-python.tar.gz",
    "cifar100": "cifar-100-python.tar.gz",
    "tiny-imagenet": "tiny-imagenet-200.zip",
}


@cache
def made(name: str) -> bytes:
    """Give the small archive of a known data set; the same bytes at each call."""
    return zipped(tiny_imagenet()) if name == "tiny-imagenet" else cifar(name.upper())[0]


def install(name: str, url: str, patch: Callable[[Any, str, Any], None]) -> None:
    """Have the small archive at `url` stand for the official one; `patch` is a setattr."""
    from torchvision import datasets

    from ekd.data import tiny_imagenet as room

    if name == "tiny-imagenet":
        patch(room, "ARCHIVE", replace(room.ARCHIVE, url=url, md5=md5(made(name))))
        sizes = {"classes": len(NUMBERS), "train": len(NUMBERS) * PER_CLASS, "test": len(VAL)}
        patch(room, "KNOWN", KNOWN | {name: replace(KNOWN[name], **sizes)})
    else:
        for attribute, value in ({"url": url} | cifar(name.upper())[1]).items():
            patch(getattr(datasets, name.upper()), attribute, value)
