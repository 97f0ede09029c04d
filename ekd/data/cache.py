"""Decoded and resized images, kept below the data root with a checksum, as an `.npz` file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ekd.data.arrays import Arrays
from ekd.data.files import alone_in, replacing
from ekd.data.npz import opened, read_npz
from ekd.spec.errors import EnvironmentProblem


def cached(root: Path, name: str, build: Callable[[], Arrays]) -> Arrays:
    """Read `<root>/cache/<name>.npz` where its checksum holds; else build, and write it if it can.

    One process at a time builds below a data root, the others wait and read what it wrote:
    decoding takes memory and all cores.
    """
    path = root / "cache" / f"{name}.npz"
    return _read(path) or _built(root, path, build)


def _built(root: Path, path: Path, build: Callable[[], Arrays]) -> Arrays:
    with alone_in(root):
        found = _read(path)
        if found is None:
            arrays = build()
            found = replace(arrays, source=arrays.fingerprint())
            with contextlib.suppress(OSError):  # a data root that cannot be written has no cache
                _write(path, found)
        return found


def _read(path: Path) -> Arrays | None:
    try:
        arrays = read_npz(path)
        with opened(path) as file:
            source, checksum = str(file["source"]), str(file["checksum"])
    except EnvironmentProblem:
        return None
    return replace(arrays, source=source) if arrays.digest() == checksum else None


def _write(path: Path, arrays: Arrays) -> None:
    content = {
        "class_names": np.array(arrays.classes),
        "source": np.array(arrays.source),
        "checksum": np.array(arrays.digest()),
    }
    for name, part in arrays.parts():
        content |= {f"{name}_images": part.images, f"{name}_labels": part.labels}
    with replacing(path) as file:
        np.savez(file, **content)  # type: ignore[arg-type]
