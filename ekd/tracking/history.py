"""A run's own files as W&B wants them: flat names, numbers only, whole lines only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def numbers(value: object, name: str = "") -> Iterator[tuple[str, int | float]]:
    """Flatten nested numbers: {"terms": {"ce": 1.0}, "branches": [2]} to terms/ce, branches/0.

    Text, truth values and nulls are left out.
    """
    if isinstance(value, dict):
        parts: list[tuple[object, object]] = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    else:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value
        return
    for part, inner in parts:
        yield from numbers(inner, f"{name}/{part}" if name else str(part))


class Tail:
    """Reads a growing file of JSON lines; one that was cut or replaced is read from line 1."""

    def __init__(self, path: Path) -> None:
        """Follow `path`, which need not exist yet."""
        self.path = path
        self.inode = 0
        self.offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Give the whole lines that came since the last call; a torn last line waits.

        Raises:
            ValueError: a whole line is not JSON.
        """
        try:
            with self.path.open("rb") as file:
                self._rewind_if_rewritten()
                file.seek(self.offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.offset += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]

    def _rewind_if_rewritten(self) -> None:
        stat = self.path.stat()
        if stat.st_ino != self.inode or stat.st_size < self.offset:
            self.inode, self.offset = stat.st_ino, 0


def outcome(folder: Path) -> dict[str, int | float | str]:
    """Sum up a run's folder: its status, and if it is done its accuracies, NLL and ECE.

    `status` is done, diverged, failed, or interrupted where neither result nor failure is there.
    """
    result = _read(folder / "result.json")
    if result is None:
        failure = _read(folder / "failure.json")
        return {"status": failure["kind"] if failure else "interrupted"}
    names = ("accuracy", "nll", "ece", "branch_accuracy", "teacher_ensemble")
    shown = {name: result.get(name) for name in names}
    teachers = {net["net"]: {"accuracy": net["accuracy"]} for net in result.get("teachers", [])}
    return {"status": "done", **dict(numbers({**shown, **teachers}))}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return content
