"""Files that appear whole or not at all, whatever stops their writer."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

DEAD_AFTER = 3600  # seconds without a write; a download gives up much earlier


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a partial file beside `path`, which takes its place once it is whole and on disk.

    Where the block raises, nothing is left; what a killed process left goes at a later try.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it is there only where something went wrong
            partial.unlink()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of this block, where the file system can lock folders.

    Nothing depends on it but time and memory: two writers of one file are both right.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)  # which unlocks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove_dead(path: Path) -> None:
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - partial.stat().st_mtime > DEAD_AFTER:
                partial.unlink()
