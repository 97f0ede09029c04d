"""A process as a lease names it: told apart from any other, also from a later one with its pid."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


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
        return cls(*_here(), _text("/proc/sys/kernel/random/boot_id"), pid, _start_time(pid))

    def is_here(self) -> bool:
        """Tell whether the holder is a process of this host and name space."""
        return (self.host, self.space) == _here()

    def runs(self) -> bool:
        """Tell whether a holder that is here still runs."""
        return self == Holder.of(self.pid)


def _here() -> tuple[str, str]:
    """Give this host, as machines may share a name with its machine id, and its name space."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{socket.gethostname()} {_text('/etc/machine-id')}".strip(), space


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    """Give the process's start in clock ticks since boot; "" where it does not run."""
    if not Path("/proc/self").exists():  # not Linux: a recycled pid goes unnoticed
        return "?" if _runs(pid) else ""
    stat = _text(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    return "" if not fields or fields[0] in "ZX" else fields[19]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
