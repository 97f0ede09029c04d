"""history.jsonl as bytes: which of its lines are whole, and what stands in them."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def whole_lines(content: bytes) -> list[bytes]:
    """Give the lines of epochs 1, 2, ... up to the first that is torn, damaged or out of turn."""
    lines: list[bytes] = []
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n") or _epoch(line) != len(lines) + 1:
            break
        lines.append(line)
    return lines


def parsed(content: bytes) -> list[dict[str, Any]]:
    """Read the whole lines."""
    return [json.loads(line) for line in whole_lines(content)]


def digest(lines: list[bytes]) -> str:
    """Hash lines as they stand in the file."""
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _epoch(line: bytes) -> Any:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("epoch") if isinstance(found, dict) else None
