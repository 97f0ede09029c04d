"""`ekd-run` as a forked child in surroundings of its own, and what lives beside it."""

from __future__ import annotations

import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import processes


def ekd_run(
    folder: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    drain_seconds: float | None = None,
) -> BaseProcess:
    """Start it in `folder`, with no W&B variable but the given ones, and the method `faulty`."""
    chosen = {"HOME": str(folder)} | (environment or {})
    return processes.start(_main, str(folder), arguments, chosen, drain_seconds)


def said(folder: Path, process: BaseProcess) -> str:
    """What it wrote for people."""
    return (folder / f"err-{process.pid}").read_text()


def children(process: int | None) -> list[int]:
    """The processes that a process started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == process and state != "Z":
            found.append(int(stat.parent.name))
    return found


def mirror_of(process: int | None) -> int:
    """The mirror process of a command."""
    commands = {child: Path(f"/proc/{child}/cmdline").read_text() for child in children(process)}
    (mirror,) = [child for child, command in commands.items() if "ekd.tracking.mirror" in command]
    return mirror


def living_in(folder: Path) -> list[str]:
    """The commands of the processes whose working directory is, or was, below `folder`."""
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if cwd.readlink().is_relative_to(folder):
                found.append((cwd.parent / "cmdline").read_text())
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def _main(
    folder: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    drain_seconds: float | None,
) -> None:
    from faulty import Faulty

    from ekd.methods import discover
    from ekd.tracking import Mirror

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        del os.environ[name]
    os.environ.update(environment)
    if drain_seconds is not None:
        Mirror.close.__defaults__ = (drain_seconds,)
    extended = {**discover(), "faulty": Faulty}
    for module in ("ekd.plan.derive", "ekd.plan.sheet"):
        sys.modules[module].discover = lambda: extended  # type: ignore[attr-defined]
    processes._main(folder, arguments)
