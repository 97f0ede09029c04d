"""Reads a `.wandb` file back: LevelDB's log format around protobuf records.

After a 7-byte header come blocks of 32,768 bytes (the header counts into the first); a piece is
CRC32 of its type and data (4 bytes), length (2), type (1: full, 2: first, 3: middle, 4: last), all
little endian. What a kill left behind at the end is ignored.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as proto

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32_768


@dataclass
class Contents:
    """What W&B would show of a run."""

    id: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    step_metrics: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None


def read(path: Path) -> Contents:
    """Collect the records of the file at `path`."""
    contents = Contents()
    for record in records(path.read_bytes()):
        match record.WhichOneof("record_type"):
            case "run":
                _read_run(record.run, contents)
            case "history":
                contents.history.append(_values(record.history.item))
            case "summary":
                contents.summary |= _values(record.summary.update)
            case "metric":
                metric = record.metric
                contents.step_metrics[metric.glob_name or metric.name] = metric.step_metric
            case "exit":
                contents.exit_code = record.exit.exit_code
    return contents


def records(content: bytes) -> Iterator[Any]:
    """Give the whole records of a file's `content`."""
    assert content[: len(HEADER)] == HEADER
    payload = b""
    for kind, data in _pieces(content):
        payload = data if kind in (1, 2) else payload + data
        if kind in (1, 4):
            yield proto.Record.FromString(payload)


def _pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = len(HEADER)
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        checksum, length, kind = struct.unpack_from("<IHB", content, position)
        data = content[position + 7 : position + 7 + length]
        if zlib.crc32(bytes([kind]) + data) != checksum:
            return
        yield kind, data
        position += 7 + length


def _read_run(run: Any, contents: Contents) -> None:
    contents.id, contents.project, contents.name = run.run_id, run.project, run.display_name
    contents.group, contents.job_type = run.run_group, run.job_type
    contents.tags = tuple(run.tags)
    contents.config |= _values(run.config.update)


def _values(items: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
