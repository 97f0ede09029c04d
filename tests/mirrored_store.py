"""The runs of a store, and what W&B holds of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mirrored_run import logged
from wandb_reader import Contents, read


def flattened(value: Any, name: str = "") -> dict[str, float]:
    """All numbers in a line of a history, by their path."""
    if isinstance(value, int | float):
        return {name: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    flat = [flattened(part, f"{name}/{key}" if name else str(key)) for key, part in parts
            if not isinstance(part, str | None)]  # fmt: skip
    return {key: number for part in flat for key, number in part.items()}


def history(folder: Path) -> list[dict[str, float]]:
    path = folder / "history.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [flattened(json.loads(line)) for line in lines]


def runs(root: Path) -> dict[str, Path]:
    """The run folders of a store by method and seed."""
    specs = {path.parent: json.loads(path.read_text()) for path in root.glob("*/spec.json")}
    return {f"{spec['method']['name']} {spec['seed']}": path for path, spec in specs.items()}


def segments(folder: Path) -> list[Path]:
    return sorted(folder.parent.glob(f"wandb/offline-run-*-{folder.name}*/*.wandb"))


def mirrored(folder: Path) -> Contents:
    """The only segment of a run, which must hold its history."""
    (segment,) = segments(folder)
    contents = read(segment)
    assert logged(contents) == history(folder)
    return contents


def rows(root: Path, method: str) -> int:
    """How many epochs the segments of a method's runs hold at the moment."""
    found = [file for name, run in runs(root).items() if method in name for file in segments(run)]
    return sum(len(read(file).history) for file in found if file.stat().st_size > 7)


def without_clock(uploaded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert [row["_step"] for row in uploaded] == [row["epoch"] for row in uploaded]
    own = ("_step", "_runtime", "_timestamp")
    return [{key: row[key] for key in row if key not in own} for row in uploaded]
