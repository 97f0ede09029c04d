"""`ekd-run --workers` in a process of its own, whose workers start in no time: they are forked."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import processes

from ekd.store.lease import Holder


def start(folder: Path, *arguments: str) -> BaseProcess:
    """Start `ekd-run` in `folder`, as the leader of a process group; see processes.ekd_run."""
    process = processes.CONTEXT.Process(target=_main, args=(str(folder), arguments))
    process.start()
    return process


def _main(folder: str, arguments: tuple[str, ...]) -> None:
    from ekd.engines import pool

    os.setsid()
    pool.CONTEXT = multiprocessing.get_context("fork")  # type: ignore[assignment]
    processes._main(folder, arguments)


def wait_for(condition: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def said(folder: Path, process: BaseProcess, stream: str = "err") -> str:
    path = folder / f"{stream}-{process.pid}"
    return path.read_text() if path.exists() else ""


def holder(run: Path) -> int:
    """Give the process that holds a run's lease, 0 where none does."""
    try:
        return int(json.loads((run / "lease.json").read_text())["pid"])
    except (FileNotFoundError, ValueError):
        return 0


def children(pid: int) -> set[int]:
    """Give the processes that `pid` has started and that still run."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in listed if runs(int(child))}


def runs(pid: int) -> bool:
    return bool(Holder.of(pid).started)
