"""A store filled with chosen results, as a training would have left it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ekd.plan import Sheet, sheets
from ekd.report import Measured, Section, collect
from ekd.spec import Run
from ekd.store import Request, RunFolder, Store

OWN_SPEC = """
title = "A & B <script>alert('title')</script>"
kind = "table"
seeds = [0]
compare = ["two"]
cost_classes = 10
cost_resolution = 32
assumptions = ["<b>bold</b> is text here"]
[run]
data.name = "digits"
recipe.epochs = 1
[[rows]]
label = "<script>alert('row')</script>"
quote = { value = 78.1, source = "Someone & al., <i>Nature</i>", protocol = "200 epochs of SGD" }
[[rows]]
label = "two"
set = { student.branches = 2 }
[[columns]]
label = "accuracy"
[[columns]]
label = "elsewhere"
quoted = true
[[columns]]
label = "latency (ms)"
cost = "latency"
[[columns]]
label = "FLOPs (M)"
cost = "flops"
[paper]
two = [90.0, "", 1.5, 25.49]
"""


def requested(root: Path, *exhibits: str, scale: str = "smoke", **rest: Any) -> Sheet:
    """Put a request into the store, as ekd-run does; give its first sheet."""
    request = Request(exhibits=exhibits, scale=scale, **rest)
    Store(root).open().add_request(request)
    return sheets(request, root / "no-data")[0]


def finish(root: Path, run: Run, accuracy: float, **more: Any) -> RunFolder:
    """Leave what a finished run leaves; `accuracy` in percent."""
    folder = Store(root).folder(run)
    folder.write_spec(run.resolved())
    folder.append_history({"epoch": 1, "loss": 1.0, "seconds": 36.0})
    branches = run.student.branches
    result = {
        "status": "done",
        "accuracy": accuracy / 100,
        "nll": 0.4321,
        "ece": 0.0123,
        "branch_accuracy": [accuracy / 100 - 0.01] * branches,
        "teachers": [],
        "teacher_ensemble": None,
        "selection": run.recipe.selection,
        "selected_epoch": run.recipe.epochs,
        "epochs": run.recipe.epochs,
        "seconds": 3600.0,
        "test_images": 1000,
        "parameters": 78042,
    }
    folder.write_outputs({}, result | more)
    return folder


def fail(root: Path, run: Run, kind: Any = "failed", message: str = "it went wrong") -> None:
    """Leave what a failed or diverged run leaves."""
    folder = Store(root).folder(run)
    folder.write_spec(run.resolved())
    folder.write_failure(kind, message, "Traceback")


def own_spec(folder: Path) -> Path:
    """Write a user's spec that needs escaping and shows every kind of cell."""
    path = folder / "mine.toml"
    path.write_text(OWN_SPEC, encoding="utf-8")
    return path.resolve()


def sections(root: Path, name: str, scale: str | None = None) -> tuple[Section, ...]:
    """Collect the sections of one exhibit."""
    (report,) = collect(Store(root), [name], scale, root / "no-data")
    return report.sections


def measured(section: Section, row: int, column: int) -> Measured:
    """Give a cell that trains."""
    cell = section.cells[row, column]
    assert isinstance(cell, Measured)
    return cell
