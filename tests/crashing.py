"""A process that dies, as by kill -9 or a power cut, at a chosen operation on the disk."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ekd.trainer import loop

Moment = Literal["before", "torn"]
"""Before the operation, which is after the one before it; or half way through what it flushes."""

NEVER = 0
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


@dataclass
class Disk:
    """Counts what the main thread of this process does to files under `root`, by audit events."""

    root: Path
    at: int
    """The operation at which the process dies, from 1."""
    moment: Moment
    seen: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """Size of each file when it was opened."""

    def watch(self) -> None:
        sys.addaudithook(self._hear)
        flush = os.fsync

        def fsync(handle: int) -> None:
            self._note("flush", str(Path(f"/proc/self/fd/{handle}").readlink()), handle)
            flush(handle)

        os.fsync = fsync

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or isinstance(arguments[0], int):
            return
        path = os.path.abspath(os.fspath(arguments[0]))  # noqa: PTH100
        changes = {"open": lambda: _writes(*arguments[1:]), "os.mkdir": lambda: not _exists(path)}
        if event not in changes or changes[event]():
            self._note(event.removeprefix("os."), path)

    def _note(self, event: str, path: str, handle: int | None = None) -> None:
        if not Path(path).is_relative_to(self.root) or not _is_main():
            return
        if event == "open":
            self.sizes[path] = Path(path).stat().st_size if Path(path).exists() else 0
        self.seen.append(f"{event} {_told(Path(path).relative_to(self.root))}")
        if len(self.seen) == self.at:
            if self.moment == "torn" and handle is not None and Path(path).is_file():
                half = (self.sizes.get(path, 0) + os.fstat(handle).st_size) // 2
                os.truncate(handle, half)
            os.kill(os.getpid(), signal.SIGKILL)


def _writes(mode: str | None, flags: int) -> bool:
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    return bool(flags & writing) or bool(set(mode or "") & set("wax+"))


def _exists(path: str) -> bool:
    return Path(path).exists()


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _told(path: Path) -> str:
    """Name a file, or the one that it will become, without what is drawn or hashed."""
    text = re.sub(r"(^|/)\.([^/]*)\.[0-9a-f]+\.tmp$", r"\1\2", str(path))
    text = re.sub(r"checkpoint-[0-9a-f]+", "checkpoint-*", text)
    return re.sub(r"[0-9a-f]{12,}", "*", text)


def note_steps(log: Path) -> None:
    """Append a line to `log` for every training step that this process begins."""
    batch: Callable[..., Any] = loop._batch

    def noted(task: Any, state: Any, positions: Any) -> Any:
        with log.open("a") as file:
            file.write(f"{task.run.key} {state.epoch} {state.step}\n")
        return batch(task, state, positions)

    loop._batch = noted
