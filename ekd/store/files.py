"""Files that a crash cannot leave half written, and their checksums."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ekd.spec import EnvironmentProblem

TEMPORARY = ".tmp"
"""How names of files under way end; one that stays was left by a process that was killed."""


def write_atomic(path: Path, content: bytes) -> str:
    """Write a temporary file beside `path`, flush it to disk, rename; give the sha256.

    Raises EnvironmentProblem where the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise
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
        return json.loads(read_bytes(path))
    except ValueError as error:  # no JSON, or no UTF-8
        raise EnvironmentProblem(f"{path} is damaged ({error}): {remedy}") from error


def write_checked(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum of itself as its last field, atomically."""
    write_json(path, {**value, "checksum": _checksum(value)})


def read_checked(path: Path, remedy: str, *fields: str) -> dict[str, Any]:
    """Read what write_checked wrote, or a file without a checksum by an older ekd.

    Raises EnvironmentProblem where it is damaged or lacks one of `fields`, FileNotFoundError
    without the file; `remedy` says what to do about a damaged one.
    """
    content = read_json(path, remedy)
    if not isinstance(content, dict) or not _is_whole(content) or set(fields) - set(content):
        raise EnvironmentProblem(f"{path} is damaged: {remedy}")
    content.pop("checksum", None)
    return content


def _checksum(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_whole(content: dict[str, Any]) -> bool:
    """Compare the checksum; its own name may be what is damaged, so all texts are tried."""
    digests = [name for name, value in content.items() if isinstance(value, str)]
    fitting = [
        name
        for name in digests
        if len(content[name]) == 64
        and content[name] == _checksum({k: v for k, v in content.items() if k != name})
    ]
    return fitting == ["checksum"] if "checksum" in content else not fitting


def sha256(path: Path) -> str:
    """Hash a file's content, block by block; raises as read_bytes does."""
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path) -> bytes:
    """Read a file; EnvironmentProblem where the disk fails, FileNotFoundError without the file."""
    with _reading(path):
        return path.read_bytes()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot read {path}: {error.strerror}: check the disk and who may read that file, "
            "then run the same command again"
        ) from error


def cannot_write(path: Path, error: OSError) -> EnvironmentProblem:
    """Say in one sentence that `path` could not be written."""
    return EnvironmentProblem(
        f"cannot write {path}: {error.strerror}: free the disk or choose another --root, then run "
        "the same command again"
    )


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time go on, by a lock on the file at `path`, which stays.

    Raises EnvironmentProblem where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        yield


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
