"""The mirror process: `python -m ekd.tracking.mirror ROOT MODE SCRATCH PARENT`, commands on stdin.

A command is a JSON line, {"start": <the fields of About>} or {"finish": key, "outcome": word or
""}. What became of each run goes to SCRATCH/status.jsonl as {"key", "error": reason or ""}.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from ekd.tracking.mode import Mode, resolve_mode
from ekd.tracking.segment import Segment

POLL_SECONDS = 0.3
DRAIN_SECONDS = 60.0

Command = dict[str, Any]


class Server:
    """Obeys commands one by one and follows the open runs in between."""

    def __init__(self, root: Path, mode: Mode, status: Path) -> None:
        """Mirror runs under `root` in the W&B `mode`; write what became of each to `status`."""
        self.root = root
        self.mode = mode
        self.status = status
        self.segments: dict[str, Segment] = {}

    def serve(self, commands: queue.Queue[Command | None]) -> None:
        """Obey until None comes, then close the runs that are still open."""
        while True:
            try:
                command = commands.get(timeout=POLL_SECONDS)
            except queue.Empty:
                for key in list(self.segments):
                    self._follow(key)
                continue
            if command is None:
                break
            if "start" in command:
                self._start(command["start"])
            else:
                self._finish(command["finish"], command["outcome"])
        for key in list(self.segments):
            self._finish(key)

    def _start(self, about: Command) -> None:
        key = about["key"]
        if key in self.segments:
            self._finish(key)
        try:
            self.segments[key] = Segment(self.root, about, self.mode)
        except Exception as problem:
            self._fail(key, problem)

    def _follow(self, key: str) -> None:
        try:
            self.segments[key].follow()
        except Exception as problem:
            del self.segments[key]
            self._fail(key, problem)

    def _finish(self, key: str, outcome: str = "") -> None:
        segment = self.segments.pop(key, None)
        if segment is None:  # it failed before and is recorded
            return
        try:
            segment.finish(outcome)
        except Exception as problem:
            self._fail(key, problem)
        else:
            self._record(key, "")

    def _fail(self, key: str, problem: Exception) -> None:
        traceback.print_exception(problem)
        self._record(key, _sentence(problem))

    def _record(self, key: str, error: str) -> None:
        with self.status.open("a") as file:
            file.write(json.dumps({"key": key, "error": error}) + "\n")


def _sentence(problem: Exception) -> str:
    first = str(problem).strip().partition("\n")[0].rstrip(".")
    return f"{type(problem).__name__}: {first}" if first else type(problem).__name__


def _listen(stdin: int, commands: queue.Queue[Command | None]) -> None:
    # Always reading keeps the pipe empty, so that the trainer's writes go through at once.
    try:
        with os.fdopen(stdin) as lines:
            for line in lines:
                commands.put(json.loads(line))
    finally:  # also after a line that was torn because the pipe was full
        threading.Thread(target=_end_late, daemon=True).start()
        commands.put(None)


def _end_late() -> None:
    threading.Event().wait(DRAIN_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _own_stdin() -> int:
    # The service that wandb starts must not inherit the command pipe.
    stdin = os.dup(0)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    return stdin


def main(root: Path, mode: Mode, scratch: Path, parent: int) -> None:
    """Mirror until stdin ends and what is there is drained, at most a minute later."""
    os.nice(10)
    commands: queue.Queue[Command | None] = queue.Queue()
    threading.Thread(target=_listen, args=(_own_stdin(), commands), daemon=True).start()
    Server(root, mode, scratch / "status.jsonl").serve(commands)
    if "wandb" in sys.modules:
        with contextlib.suppress(Exception):
            sys.modules["wandb"].teardown()
    if os.getppid() != parent:  # nobody is left to tidy up
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), resolve_mode(sys.argv[2], {}), Path(sys.argv[3]), int(sys.argv[4]))
