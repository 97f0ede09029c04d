"""A run's folder as the trainer writes it, and what its mirror left in W&B."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wandb_reader import Contents, read

from ekd.tracking import About, Mirror

KEY = "0123456789abcdef"
ABOUT = About(
    key=KEY,
    group="fedcba9876543210",
    job_type="student",
    name="resnet8 x 3, ekd, seed 0",
    tags=("table1", "smoke"),
    config={"method": {"name": "ekd", "alpha": 0.5}, "seed": 0, "teachers": [], "start": None},
)
RESULT = {
    "accuracy": 0.625,
    "nll": 1.25,
    "ece": 0.03,
    "branch_accuracy": [0.5, 0.5625],
    "teachers": [{"net": "teacher-1", "arch": "resnet14", "accuracy": 0.75}],
    "teacher_ensemble": None,
}


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty HOME and a store with one empty run; no W&B variable of the caller counts."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    (folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "runs" / KEY).mkdir(parents=True)
    return folder / "runs"


def line(epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "lr": 0.001,
        "loss": 1 / epoch if epoch != 3 else math.inf,
        "terms": {"ce_student": 0.1 * epoch, "kl": 1e-12 / 3},
        "split": "test",
        "branch_accuracy": [0.1, 0.2 + epoch],
    }


def flat(epoch: int) -> dict[str, float]:
    source = line(epoch)
    first, second = source["branch_accuracy"]
    return {
        "epoch": epoch,
        "lr": source["lr"],
        "loss": source["loss"],
        "terms/ce_student": source["terms"]["ce_student"],
        "terms/kl": source["terms"]["kl"],
        "branch_accuracy/0": first,
        "branch_accuracy/1": second,
    }


def train(root: Path, epochs: range, key: str = KEY) -> None:
    with (root / key / "history.jsonl").open("a") as file:
        for epoch in epochs:
            file.write(json.dumps(line(epoch)) + "\n")


def end(root: Path, name: str, content: dict[str, Any]) -> None:
    (root / KEY / name).write_text(json.dumps(content))


def segments(root: Path) -> list[Path]:
    return sorted(root.glob("wandb/offline-run-*"))


def only_segment(root: Path) -> Contents:
    (segment,) = segments(root)
    return read(segment / f"run-{KEY}.wandb")


def logged(contents: Contents) -> list[dict[str, Any]]:
    """The history without W&B's own clock entries; its step must be the epoch."""
    assert [row["_step"] for row in contents.history] == [row["epoch"] for row in contents.history]
    own = ("_step", "_runtime", "_timestamp")
    return [{key: row[key] for key in row if key not in own} for row in contents.history]


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def epochs_on_disk(root: Path) -> int:
    files = [file for segment in segments(root) for file in segment.glob("*.wandb")]
    return len(read(files[-1]).history) if files and files[-1].stat().st_size > 7 else 0


def process_id(mirror: Mirror) -> int:
    assert mirror.process is not None
    return mirror.process.pid


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()
