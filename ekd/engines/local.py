"""Trains a plan in this process, beside any other process on the same store."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from ekd.data import Splits, load
from ekd.engines.console import Console, counted
from ekd.engines.process import now, session
from ekd.plan import Planned, Progress, describe, lineage, progress
from ekd.spec import Data, EkdError, Run, SpecError
from ekd.store import Lease, RunFolder, Store, acquire
from ekd.tracking import About, Mirror
from ekd.trainer import Diverged, Saver, Task, begin, build, finish, train

WAIT_SECONDS = 0.5
Attempt = Literal["trained", "held"]


class LeaseLost(Exception):
    """Another process took the run over while this one stood still."""


@dataclass
class Engine:
    """Where runs are trained, and who hears of it."""

    store: Store
    data_root: Path
    device: torch.device
    mirror: Mirror
    console: Console
    tags: tuple[str, ...] = ()
    retry: bool = False
    tried: set[str] = field(default_factory=set)
    unavailable: dict[str, EkdError] = field(default_factory=dict)
    """Runs that could not start here, for want of data, a teacher's weights or their own past."""
    missing_data: dict[tuple[str, str], EkdError] = field(default_factory=dict)
    """Sources, by name and path, that could not be read."""

    def execute(self, plan: list[Planned]) -> dict[str, Progress]:
        """Train whatever is not done, and wait for what other processes train.

        A failed or diverged run leaves the others alone; those that learn from it are blocked.
        What cannot start is in `unavailable` afterwards.
        """
        waiting = False
        while True:
            states = progress(plan, self.store)
            open_runs = [entry for entry in plan if self._is_open(entry.run, states)]
            if not open_runs:
                return states
            ready = [e for e in open_runs if all(self._is_done(p.run) for p in e.run.parents())]
            attempts = (self._attempt(entry) for entry in ready)
            if any(attempt == "trained" for attempt in attempts):
                waiting = False
                continue
            if not waiting:
                self.console.say(
                    f"waiting for {counted(len(open_runs), 'run')} that another process trains"
                )
            waiting = True
            time.sleep(WAIT_SECONDS)

    def _is_open(self, run: Run, states: dict[str, Progress]) -> bool:
        state = states[run.key]
        if any(ancestor.key in self.unavailable for ancestor in lineage(run)):
            return False
        if state == "blocked":
            return self.retry and any(self._is_open(p.run, states) for p in run.parents())
        return self._wanted(run, state)

    def _wanted(self, run: Run, state: Progress) -> bool:
        if state in ("failed", "diverged"):
            return self.retry and run.key not in self.tried
        return state != "done"

    def _is_done(self, run: Run) -> bool:
        return self.store.folder(run).status() == "done"

    def _attempt(self, entry: Planned) -> Attempt:
        """Train one run if its lease is free; "trained" also where it ended without a result."""
        folder = self.store.folder(entry.run)
        lease = acquire(folder.path)
        if lease is None:
            return "held"
        with lease:
            if not self._wanted(entry.run, folder.kept()):
                return "trained"  # another process was faster
            self.tried.add(entry.run.key)
            folder.forget_failure()
            try:
                self._train(entry, folder, lease)
            except LeaseLost:
                self.console.ended(entry.run, "goes on in another process")
            except Diverged as error:
                folder.write_failure("diverged", str(error), "")
                self.console.ended(entry.run, f"diverged: {error}")
            except EkdError:
                raise
            except Exception as error:
                folder.write_failure("failed", repr(error), traceback.format_exc())
                self.console.ended(entry.run, f"failed: {error!r} (see {folder.path}/failure.json)")
            self.mirror.finish(entry.run.key)
        return "trained"

    def _train(self, entry: Planned, folder: RunFolder, lease: Lease) -> None:
        run = entry.run
        try:
            splits = self._splits(run)
            objective = build(run, len(splits.classes), self.store).to(self.device)
            task = Task(run, splits, folder)
            state, threads = begin(task, objective)
        except EkdError as error:
            self.unavailable[run.key] = error
            self.console.say(f"{run.key} {describe(run)} cannot start: {error}")
            return
        folder.write_spec(run.resolved())
        sessions = [*folder.provenance(), session(self.device, splits.fingerprint)]
        folder.write_provenance(sessions)
        self.console.started(run, state.epoch, run.epochs, threads)
        self.mirror.start(run.key, self._about(entry))
        for line in train(task, state, Saver(folder)):
            self.console.epoch(run, line, run.epochs)
            if lease.lost:
                raise LeaseLost
        sessions[-1]["stop"] = now()
        folder.write_provenance(sessions)
        result = finish(task, state)
        self.console.ended(run, f"{100 * result['accuracy']:.2f} % in {result['seconds']:.0f} s")

    def _splits(self, run: Run) -> Splits:
        source = (run.data.name, run.data.path)
        if source in self.missing_data:
            raise self.missing_data[source]
        try:
            splits = _loaded(run.data, self.data_root, self.device)
        except EkdError as error:
            self.missing_data[source] = error
            raise
        if len(splits.train.labels) < 2:
            raise SpecError(f"data.fraction = {run.data.fraction} leaves fewer than two images")
        if run.data.name:
            self.store.check_data(run.data.name, splits.fingerprint)
        return splits

    def _about(self, entry: Planned) -> About:
        run = entry.run
        data = run.data.name or Path(run.data.path).name
        return About(
            key=run.key,
            group=run.group,
            job_type="teacher" if entry.is_teacher else "student",
            name=f"{describe(run)} {run.key[:6]}",
            tags=(*self.tags, data, run.student.arch, run.method.name()),
            config=run.resolved(),
        )


@lru_cache(maxsize=4)  # the data sets of one exhibit come in turns
def _loaded(data: Data, root: Path, device: torch.device) -> Splits:
    return load(data, root, device)


def all_done(states: Iterable[Progress]) -> bool:
    """Tell whether nothing failed, diverged or is blocked."""
    return all(state == "done" for state in states)
