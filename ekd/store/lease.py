"""A lease on a run's folder: one process trains it, and a dead holder is replaced."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from ekd.store.files import cannot_write, write_json
from ekd.store.holder import Holder

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


class LeaseLost(Exception):
    """Another process took the run over while this one stood still."""


class Lease:
    """The right to train one run, kept alive by a heartbeat until it is released."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path = path
        self._holder = holder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def check(self) -> None:
        """Raise LeaseLost where the lease file no longer names this holder."""
        with contextlib.suppress(OSError):  # what cannot be read just now is not lost
            if _look(self._path)[0] != self._holder:
                raise LeaseLost

    def release(self) -> None:
        """Stop the heartbeat and give the lease back, unless another process has it by now."""
        self._stop.set()
        self._thread.join()
        # Where the folder was deleted, nothing is left to give back.
        with contextlib.suppress(LeaseLost, OSError), _locked(self._path):
            self.check()
            self._path.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(LeaseLost, OSError):
                self.check()
                os.utime(self._path)


def acquire(folder: Path) -> Lease | None:
    """Take the lease of a run's folder, or None where a live process holds it.

    A holder on this host is alive while its process runs. Any other is dead once this process has
    seen its lease unchanged for STALE_SECONDS, so ask again and again; no two clocks are compared,
    as they may differ or jump. Raises EnvironmentProblem where the folder cannot be written.
    """
    path = folder / "lease.json"
    holder = Holder.of(os.getpid())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(path, fcntl.LOCK_NB):
            if _is_alive(path):
                return None
            write_json(path, asdict(holder))
    except BlockingIOError:  # another process looks at it this instant
        return None
    except OSError as error:
        raise cannot_write(path, error) from error
    return Lease(path, holder)


def is_held(path: Path) -> bool:
    """Tell at one look, for a display, whether a live process seems to hold the lease at `path`.

    Elsewhere than on this host, that is while its heartbeat is younger than STALE_SECONDS.
    """
    try:
        holder, stamp = _look(path)
    except OSError:
        return True
    if holder is None or holder.is_here():
        return holder is not None and holder.runs()
    return abs(time.time() - stamp / 1e9) < STALE_SECONDS


_observed: dict[Path, tuple[Holder, int, float]] = {}
"""Leases of other hosts: holder and heartbeat, and since when this process knows them so."""


def _is_alive(path: Path) -> bool:
    try:
        holder, stamp = _look(path)
    except OSError:  # what cannot be read just now is no proof of a death
        return True
    if holder is None or holder.is_here():
        return holder is not None and holder.runs()
    *known, since = _observed.get(path, (None, 0, 0.0))
    if known != [holder, stamp]:
        _observed[path] = (holder, stamp, monotonic())
        return True
    return monotonic() - since < STALE_SECONDS


@contextlib.contextmanager
def _locked(path: Path, flag: int = 0) -> Iterator[None]:
    """Let one process at a time look at the lease and change it."""
    with path.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | flag)
        yield


def _look(path: Path) -> tuple[Holder | None, int]:
    """Give the holder, None where nobody holds it, and the last heartbeat in ns.

    Raises OSError where the file is there and cannot be read.
    """
    try:
        with path.open("rb") as file:  # opened anew, a network file system tells the latest
            holder = Holder(**json.loads(file.read()))
            return holder, os.fstat(file.fileno()).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None, 0
