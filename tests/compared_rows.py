"""Rows with chosen accuracies per seed, and what a report makes of them."""

from __future__ import annotations

from pathlib import Path

from filled_store import finish, requested

from ekd.report import Report, collect
from ekd.report.comparisons import Comparison, Gain
from ekd.store import Store

HEAD = """
title = "Methods"
rows_are = "method"
kind = "table"
compare = ["a", "b"]
run.data.name = "digits"
run.recipe.epochs = 1
"""
QUOTED = 'quote = { value = 80.0, source = "a paper", protocol = "its own" }'
COLUMNS = """
[[columns]]
label = ["quoted", "accuracy"]
quoted = true
[[columns]]
label = ["own", "accuracy"]
compared = false
set = { student.branches = 2 }
[[columns]]
label = ["fair", "accuracy"]
[[columns]]
label = ["fair", "params"]
cost = "params"
"""
OWN, FAIR = 1, 2


def filled(root: Path, rows: dict[str, list[float | None]], head: str = HEAD) -> Report:
    """Report on rows with these accuracies per seed, None for a missing one, in both columns.

    A label with an apostrophe is the row before it once more: the same runs.
    """
    spec, text, rate = root / "methods.toml", head, 0
    for label in rows:
        rate += not label.endswith("'")
        quote = QUOTED if label.endswith("'") else ""
        text += f'\n[[rows]]\nlabel = "{label}"\nset = {{ recipe.lr = 0.0{rate} }}\n{quote}'
    spec.write_text(text + COLUMNS, encoding="utf-8")
    seeds = tuple(range(max(map(len, rows.values()))))
    sheet = requested(root, str(spec), scale="paper", seeds=seeds)
    for (row, _), runs in sheet.runs.items():
        label, accuracies = list(rows.items())[row]
        for run, accuracy in zip(runs, accuracies, strict=False):
            if accuracy is not None and not label.endswith("'"):
                finish(root, run, accuracy)
    (report,) = collect(Store(root), [], None, root)
    return report


def fair(report: Report) -> Comparison:
    return report.sections[0].comparisons[FAIR]


def gains(report: Report, row: int) -> tuple[Gain, ...]:
    return report.sections[0].gains((row, FAIR))


THREE = {"a": [80.0, 80.0, 80.0], "b": [81.0, 82.0, 83.0], "c": [80.5, 80.0, 80.6]}


# d and c are near; a and b are each far from all others, with little spread.
FOUR: dict[str, list[float | None]] = {
    "a": [60.0, 60.1, 59.9, 60.05],
    "b": [90.0, 90.1, 89.95, 90.1],
    "c": [80.0, 80.3, 79.8, 80.1],
    "d": [80.1, 80.2, 79.7, 80.3],
}
