"""Files that a crash cannot leave half written, and their checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from ekd.spec import EnvironmentProblem


def write_atomic(path: Path, content: bytes) -> str:
    """Write a temporary file beside `path`, flush it to disk, rename; give the sha256.

    Raises EnvironmentProblem where the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # it is there only where something went wrong
            temporary.unlink()
    return hashlib.sha256(content).hexdigest()


def append_line(path: Path, line: str) -> None:
    """Append one line and flush it to disk; EnvironmentProblem as in write_atomic."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error


def write_json(path: Path, value: Any) -> str:
    """Write plain values as readable JSON, atomically; give the sha256."""
    return write_atomic(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path, remedy: str) -> Any:
    """Read JSON; EnvironmentProblem where the file is damaged, FileNotFoundError without one.

    `remedy` says what to do about a damaged file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EnvironmentProblem(f"{path} is damaged ({error}): {remedy}") from error


def sha256(path: Path) -> str:
    """Hash a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cannot_write(path: Path, error: OSError) -> EnvironmentProblem:
    """Say in one sentence that `path` could not be written."""
    return EnvironmentProblem(
        f"cannot write {path}: {error.strerror}: free the disk or choose another --root, then run "
        "the same command again"
    )


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
