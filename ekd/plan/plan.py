"""Every run that a request needs, once, teachers first; and how far each is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from ekd.methods import Method
from ekd.models.resnet import WIDTH
from ekd.plan.sheet import Sheet
from ekd.spec import Run
from ekd.store import Store

Progress = Literal["done", "running", "partial", "missing", "failed", "diverged", "blocked"]


@dataclass(frozen=True)
class Planned:
    """A run that is needed, and who asks for it."""

    run: Run
    asked_by: tuple[str, ...]
    """Cells that show it, then runs that learn from it."""
    is_teacher: bool
    """Only needed by other runs: no cell shows it."""


def flatten(sheets: Iterable[Sheet], only_teachers: bool = False) -> list[Planned]:
    """List the runs of all asked cells once each, every run after those that it learns from."""
    askers: dict[str, list[str]] = {}
    runs: dict[str, Run] = {}
    shown: set[str] = set()
    taught: set[str] = set()
    for sheet in sheets:
        for place in sorted(sheet.asked):
            for run in sheet.runs[place]:
                shown.add(run.key)
                for ancestor in lineage(run):
                    runs.setdefault(ancestor.key, ancestor)
                    asker = sheet.label(place) if ancestor.key == run.key else f"run {run.key}"
                    names = askers.setdefault(ancestor.key, [])
                    if asker not in names:
                        names.append(asker)
                    taught |= {ancestor.key} if ancestor.key != run.key else set()
    kept = taught if only_teachers else set(runs)
    planned = [
        Planned(run, tuple(askers[key]), key not in shown)
        for key, run in runs.items()
        if key in kept
    ]
    return sorted(planned, key=lambda entry: generation(entry.run))


def describe(run: Run) -> str:
    """Name a run for people: its method, network, data and seed."""
    data = run.data.name or Path(run.data.path).name
    share = "" if run.data.fraction == 1 else f" {100 * run.data.fraction:g} %"
    branches = "" if run.student.branches == 1 else f" x{run.student.branches}"
    branches += "" if run.student.width == WIDTH else f" width {run.student.width}"
    hint = "" if cast(Method, run.method).classifies() else " hint run"
    return f"{run.method.name()} {run.student.arch}{branches}{hint} {data}{share} seed {run.seed}"


def lineage(run: Run) -> Iterator[Run]:
    """Give the runs that `run` learns from, ancestors first, and then itself."""
    for parent in run.parents():
        yield from lineage(parent.run)
    yield run


def generation(run: Run) -> int:
    """Count how many trainings must come before, one after the other."""
    return max((1 + generation(parent.run) for parent in run.parents()), default=0)


def without_sharing(sheets: Iterable[Sheet]) -> int:
    """Count the trainings if every cell trained its own teachers and nothing were shared."""
    return sum(
        len(list(lineage(run)))
        for sheet in sheets
        for place in sheet.asked
        for run in sheet.runs[place]
    )


def progress(plan: Iterable[Planned], store: Store) -> dict[str, Progress]:
    """Tell how far each run is; one whose teacher failed is blocked."""
    found: dict[str, Progress] = {}
    for entry in plan:
        status: Progress = store.folder(entry.run).status()
        parents = [found.get(parent.run.key, "done") for parent in entry.run.parents()]
        stopped = any(p in ("failed", "diverged", "blocked") for p in parents)
        found[entry.run.key] = "blocked" if stopped and status != "done" else status
    return found
