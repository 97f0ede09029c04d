"""A cache is believed only where every byte is right, and never stands in anybody's way."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest

from ekd.data.arrays import Arrays, Part
from ekd.data.cache import cached
from ekd.data.files import replacing

NAME = "cats-and-dogs"


def arrays(level: int = 7) -> Arrays:
    part = Part(np.full((2, 4, 4, 3), level, np.uint8), np.array([0, 1]))
    return Arrays(part, part, None, ("cat", "dog"), source="0123456789abcdef")


class Builder:
    """Gives the arrays, and counts how often it had to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Arrays:
        self.times += 1
        return arrays()


def same(one: Arrays, other: Arrays) -> bool:
    return one.digest() == other.digest() and one.source == other.source


def test_a_cache_keeps_images_names_and_the_fingerprint_of_the_source(tmp_path: Path) -> None:
    build = Builder()
    for _ in range(3):
        found = cached(tmp_path, NAME, build)
        assert same(found, arrays())
        assert found.fingerprint() == "0123456789abcdef"
    assert build.times == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{NAME}.npz"]


@pytest.mark.parametrize(
    ("flip", "every"),
    [(0xFF, 31), (0x01, 31), *(pytest.param(f, 1, marks=pytest.mark.slow) for f in (0xFF, 0x01))],
)
def test_no_flipped_byte_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: int, every: int
) -> None:
    """Where the byte matters, the cache is built anew, whatever it broke."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    build = Builder()
    cached(tmp_path, NAME, build)
    path = tmp_path / "cache" / f"{NAME}.npz"
    whole = path.read_bytes()
    heads = (whole.index(signature) for signature in (b"PK\3\4", b"PK\1\2"))  # of an entry
    positions = {*range(0, len(whole), every), *(head + i for head in heads for i in range(16))}
    for position in sorted(positions):
        changed = bytearray(whole)
        changed[position] ^= flip
        path.write_bytes(changed)
        assert same(cached(tmp_path, NAME, build), arrays()), position
    assert build.times > len(positions) // 2  # the others are dates and the like


def test_a_pixel_flipped_on_disk_is_built_and_written_anew(tmp_path: Path) -> None:
    build = Builder()
    cached(tmp_path, NAME, build)
    path = tmp_path / "cache" / f"{NAME}.npz"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\7\7\7", b"\7\6\7", 1))
    assert path.read_bytes() != whole
    for _ in range(2):
        assert same(cached(tmp_path, NAME, build), arrays())
    assert build.times == 2


def test_processes_that_need_one_cache_build_it_once(tmp_path: Path) -> None:
    several = [processes.start(_build_and_tell, str(tmp_path)) for _ in range(3)]
    assert [processes.code(process) for process in several] == [0, 0, 0]
    assert len(list((tmp_path / "built").iterdir())) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{NAME}.npz"]


def _build_and_tell(root: str) -> None:
    def build() -> Arrays:
        told = Path(root) / "built" / str(os.getpid())
        told.parent.mkdir(exist_ok=True)
        told.touch()
        return arrays()

    assert same(cached(Path(root), NAME, build), arrays())


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOLCK])
def test_a_file_system_without_locks_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(code))
    build = Builder()
    for _ in range(2):
        assert same(cached(tmp_path, NAME, build), arrays())
    assert build.times == 1


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_full_disk_leaves_no_cache_and_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    build = Builder()
    for _ in range(2):
        assert same(cached(tmp_path, NAME, build), arrays())
    assert build.times == 2
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_builder_that_fails_leaves_the_next_one_free(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no images"):
        cached(tmp_path, NAME, _fail)
    assert list(tmp_path.iterdir()) == []
    assert same(cached(tmp_path, NAME, arrays), arrays())


def _fail() -> Arrays:
    raise RuntimeError("no images")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with contextlib.suppress(RuntimeError), replacing(path) as file:
        file.write(b"aft")
        raise RuntimeError
    assert path.read_bytes() == b"before"
    with replacing(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]
