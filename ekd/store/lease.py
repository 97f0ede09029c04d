"""A lease on a run's folder: one process trains it, and a dead holder is replaced."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ekd.store.files import cannot_write

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


@dataclass(frozen=True)
class Holder:
    """A process, told apart from any later one with its pid."""

    host: str
    space: str
    """The process name space: containers on one host number their processes apart."""
    boot: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Holder:
        """Describe a process of this host; `started` is empty where it does not run."""
        return cls(*_here(), _boot(), pid, _start_time(pid))


class Lease:
    """The right to train one run, kept alive by a heartbeat until it is released."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path = path
        self._holder = holder
        self.lost = False
        """Another process took the lease, as this one had not been heard of for a minute."""
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

    def release(self) -> None:
        """Stop the heartbeat and give the lease back."""
        self._stop.set()
        self._thread.join()
        with _locked(self._path):
            if _read(self._path) == self._holder:
                self._path.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            if _read(self._path) != self._holder:
                self.lost = True
                return
            with contextlib.suppress(OSError):
                os.utime(self._path)


def acquire(folder: Path) -> Lease | None:
    """Take the lease of a run's folder, or None where a live process holds it.

    Raises EnvironmentProblem where the folder cannot be written.
    """
    path = folder / "lease.json"
    holder = Holder.of(os.getpid())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if is_held(path):
                return None
            path.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error
    return Lease(path, holder)


def is_held(path: Path) -> bool:
    """Tell whether a live process holds the lease at `path`.

    On this host a holder is alive while its process runs; elsewhere while its heartbeat is younger
    than STALE_SECONDS.
    """
    holder = _read(path)
    if holder is None:
        return False
    if (holder.host, holder.space) == _here():
        return holder == Holder.of(holder.pid)
    try:
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time look at the lease and change it."""
    with path.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _here() -> tuple[str, str]:
    """Give this host and process name space."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return socket.gethostname(), space


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    """Give the process's start in clock ticks since boot; "" where it does not run."""
    if not Path("/proc/self").exists():  # not Linux: a recycled pid goes unnoticed
        return "?" if _runs(pid) else ""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
