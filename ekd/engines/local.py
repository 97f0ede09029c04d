"""Trains a plan in this process, beside any other process on the same store."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch

from ekd.data import Splits, load
from ekd.engines.listener import Listener, Mirroring
from ekd.engines.process import check_device, failed_because, now, session
from ekd.methods import Method
from ekd.plan import Planned, Progress, describe, lineage, progress
from ekd.spec import Data, EkdError, EnvironmentProblem, Run
from ekd.store import LeaseLost, RunFolder, Store, acquire
from ekd.tracking import About
from ekd.trainer import Diverged, Saver, Task, begin, build, finish, train

WAIT_SECONDS = 0.5


class Stopped(Exception):
    """Whoever watches a training ends it early; it goes on from there when it is asked for again.

    The text says why; `outcome` is the word for it, such as pruned, that W&B shall show.
    """

    def __init__(self, text: str, outcome: str = "") -> None:
        super().__init__(text)
        self.outcome = outcome


def unwatched(run: Run, line: Mapping[str, Any]) -> None:
    """Let every training go to its end."""


@dataclass
class Engine:
    """Where runs are trained, and who hears of it."""

    store: Store
    data_root: Path
    device: torch.device
    mirror: Mirroring
    console: Listener
    tags: tuple[str, ...] = ()
    unavailable: dict[str, EkdError] = field(default_factory=dict)
    """Runs that could not start here, for want of data, a teacher's weights or their own past."""
    missing_data: dict[tuple[str, str], EkdError] = field(default_factory=dict)
    """Sources, by name and path, that could not be read."""
    watch: Callable[[Run, Mapping[str, Any]], None] = unwatched
    """Sees each finished epoch's line of the history, and may raise Stopped."""

    def execute(self, plan: list[Planned]) -> dict[str, Progress]:
        """Train whatever is not done, and wait for what other processes train.

        A failed or diverged run leaves the others alone; those that learn from it are blocked.
        What cannot start is in `unavailable` afterwards. Raises DeviceLost where a failure has
        taken the device with it, Stopped where `watch` has ended a run.
        """
        waiting = False
        while True:
            states = progress(plan, self.store)
            open_runs = [entry for entry in plan if self._is_open(entry.run, states)]
            if not open_runs:
                tidy(plan, self.store)
                return states
            ready = [e for e in open_runs if all(self._is_done(p.run) for p in e.run.parents())]
            if any(self._attempt(entry) for entry in ready):
                waiting = False
                continue
            if not waiting:
                self.console.waiting(len(open_runs))
            waiting = True
            time.sleep(WAIT_SECONDS)

    def _is_open(self, run: Run, states: dict[str, Progress]) -> bool:
        return is_open(states[run.key]) and not any(
            ancestor.key in self.unavailable for ancestor in lineage(run)
        )

    def _is_done(self, run: Run) -> bool:
        return self.store.folder(run).status() == "done"

    def _attempt(self, entry: Planned) -> bool:
        """Train one run, to whatever end; False where another process holds it."""
        run, folder = entry.run, self.store.folder(entry.run)
        with held(folder) as ours:
            if ours and is_open(folder.kept()):  # or another was faster
                self.console.took(run)
                folder.tidy()
                try:
                    self._train(entry, folder)
                except LeaseLost:
                    self.console.ended(run, "goes on in another process")
                except Diverged as error:
                    folder.write_failure("diverged", str(error), "")
                    self.console.ended(run, f"diverged: {error}")
                except Stopped as stop:
                    self.console.ended(run, str(stop))
                    self.mirror.finish(run.key, stop.outcome)
                    raise
                except EkdError:
                    raise
                except (Exception, SystemExit) as error:
                    reason = failed_because(error)
                    folder.write_failure("failed", reason, traceback.format_exc())
                    self.console.ended(run, f"failed: {reason} (see {folder.path}/failure.json)")
                    check_device(self.device)
                self.mirror.finish(run.key)
        return ours

    def _train(self, entry: Planned, folder: RunFolder) -> None:
        run = entry.run
        try:
            splits = self._splits(run)
            objective = build(run, len(splits.classes), self.store).to(self.device)
            task = Task(run, splits, folder)
            state, threads = begin(task, objective)
            sessions = [*folder.provenance(), session(self.device, splits.fingerprint)]
        except EkdError as error:
            self.unavailable[run.key] = error
            self.console.cannot_start(run, error)
            return
        folder.write_spec(run.resolved())
        folder.write_provenance(sessions)
        self.console.started(run, None if threads is None else state.epoch)
        if self.device.type == "cpu" and threads not in (None, torch.get_num_threads()):
            self.console.say(
                f"  its checkpoint was trained with {threads} threads, this process has "
                f"{torch.get_num_threads()}: the last bits of its numbers may differ"
            )
        self.mirror.start(run.key, self._about(entry))
        saver = Saver(folder)
        try:
            for line in train(task, state, saver):
                self.console.epoch(run, line)
                self.watch(run, line)
        except Stopped:
            saver.keep(state)
            _close(folder, sessions)
            raise
        _close(folder, sessions)
        result = finish(task, state)
        self.console.ended(run, f"{_score(result)} in {result['seconds']:.0f} s")

    def _splits(self, run: Run) -> Splits:
        source = (run.data.name, run.data.path)
        if source in self.missing_data:
            raise self.missing_data[source]
        try:
            splits = _loaded(run.data, self.data_root, self.device)
        except EnvironmentProblem as error:
            self.missing_data[source] = error
            raise
        if run.data.name:
            self.store.check_data(run.data.name, splits.fingerprint)
        return splits

    def _about(self, entry: Planned) -> About:
        run = entry.run
        data = run.data.name or Path(run.data.path).name
        return About(
            key=run.key,
            group=run.group,
            job_type=_job_type(entry),
            name=f"{describe(run)} {run.key[:6]}",
            tags=(*self.tags, data, run.student.arch, run.method.name()),
            config=run.resolved(),
        )


def _job_type(entry: Planned) -> str:
    if not cast(Method, entry.run.method).classifies():
        return "hint"
    return "teacher" if entry.is_teacher else "student"


def _score(result: Mapping[str, Any]) -> str:
    """Say how good a run became: where it has a hold-out, by that, as its test is none's to see."""
    if result["accuracy"] is None:  # a hint run
        return "done"
    if result["holdout"]:
        return f"{100 * result['holdout']['accuracy']:.2f} % on the hold-out"
    return f"{100 * result['accuracy']:.2f} %"


def _close(folder: RunFolder, sessions: list[dict[str, Any]]) -> None:
    sessions[-1]["stop"] = now()
    folder.write_provenance(sessions)


@lru_cache(maxsize=4)  # the data sets of one exhibit come in turns
def _loaded(data: Data, root: Path, device: torch.device) -> Splits:
    return load(data, root, device)


@contextlib.contextmanager
def held(folder: RunFolder) -> Iterator[bool]:
    """Hold a run's lease, so that its folder may be written, if no other process has it.

    Gives whether it is held. Whoever loses it meanwhile writes nothing more and stops there.
    """
    lease = acquire(folder.path)
    if lease is None:
        yield False
        return
    with lease, contextlib.suppress(LeaseLost):
        folder.guard = lease.check
        yield True


def forget_failures(plan: Iterable[Planned], store: Store) -> None:
    """Let every failed and diverged run of a plan be tried again."""
    for entry in plan:
        folder = store.folder(entry.run)
        if (folder.path / "failure.json").exists():
            with held(folder) as ours:
                if ours:
                    folder.forget_failure()


def tidy(plan: Iterable[Planned], store: Store) -> None:
    """Remove what killed processes left in the folders of finished runs, where that is possible."""
    for entry in plan:
        folder = store.folder(entry.run)
        if folder.kept() == "done" and folder.leftovers():
            with contextlib.suppress(EnvironmentProblem), held(folder) as ours:
                if ours:
                    folder.tidy()


def is_open(state: Progress) -> bool:
    """Tell whether a run in that state is still to be trained, here or by another process."""
    return state in ("missing", "partial", "running")


def all_done(states: Iterable[Progress]) -> bool:
    """Tell whether nothing failed, diverged or is blocked."""
    return all(state == "done" for state in states)
