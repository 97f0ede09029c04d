"""A folder that asks before every write whether this process may still change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ekd.store.files import append_line, cannot_write, write_atomic, write_checked, write_json


def always() -> None:
    """Allow every write."""


class GuardedFolder:
    """Writes and removes files in `path`; `guard` is called first and may raise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.guard: Callable[[], None] = always
        """Raises where this process has lost the right to change the folder."""

    def _write(self, name: str, content: bytes) -> str:
        self.guard()
        return write_atomic(self.path / name, content)

    def _write_json(self, name: str, value: Any) -> None:
        self.guard()
        write_json(self.path / name, value)

    def _write_checked(self, name: str, value: Mapping[str, Any]) -> None:
        self.guard()
        write_checked(self.path / name, value)

    def _append(self, name: str, line: str) -> None:
        self.guard()
        append_line(self.path / name, line)

    def _remove(self, name: str) -> None:
        self.guard()
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.path / name, error) from error
