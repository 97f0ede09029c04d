"""Cells that show what a training costs: its operations, and the seconds of an epoch."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from ekd.plan import operations, whole_operations
from ekd.report.model import Computed, EpochTime
from ekd.spec import Run
from ekd.store import Store

TERA = 1e12


def training_cell(run: Run, one: Run, data_root: Path) -> Computed:
    """Compute the operations of a whole training as a multiple of those of the run `one`."""
    whole, own = whole_operations(run, data_root), operations(run, data_root)
    unit = whole_operations(one, data_root)
    basis = (
        f"{whole / TERA:.2f} TMAC, of them {own / TERA:.2f} in this run and "
        f"{(whole - own) / TERA:.2f} in those that it learns from; 1 is {unit / TERA:.2f} TMAC; "
        "evaluations are left out, a backward pass counts as two forward passes"
    )
    return Computed(whole / unit, basis, None, comparable=False)


def epoch_cell(runs: tuple[Run, ...], store: Store) -> EpochTime:
    """Average the seconds per epoch of finished runs, hint runs included.

    A clock on the CPU: on another device an epoch's last steps may still be under way when it ends.
    """
    done = [run for run in runs if store.folder(run).status() == "done"]
    seconds = tuple(_seconds_per_epoch(run, store) for run in done)
    machines = {_machine(session) for run in done for session in store.folder(run).provenance()}
    return EpochTime(seconds, tuple(sorted(machines)))


def _seconds_per_epoch(run: Run, store: Store) -> float:
    lines = [line for one in _student_runs(run) for line in store.folder(one).history()]
    return fmean(float(line["seconds"]) for line in lines)


def _student_runs(run: Run) -> list[Run]:
    """List the runs that trained this student, one after the other."""
    return [*(_student_runs(run.start.run) if run.start else []), run]


def _machine(session: dict[str, Any]) -> str:
    device, threads = session.get("device", "unknown"), session.get("threads", "unknown")
    return f"{device}, {threads} thread{'' if threads == 1 else 's'}"
